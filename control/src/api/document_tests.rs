//! What the document must say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{document, routes};

fn document() -> Value {
    let (_, mut document) = routes().split_for_parts();
    document::complete(&mut document, "1.2.3");
    serde_json::to_value(&document).unwrap()
}

/// Each operation with its method and path.
fn operations(document: &Value) -> Vec<(String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, it)| (format!("{method} {path}"), it.clone()))
    });
    operations.collect()
}

#[test]
fn every_route_is_in_the_document() {
    let source = include_str!("mod.rs");
    let (_, table) = source.split_once("fn routes()").unwrap();
    let handlers = table.split(".routes(routes!(").skip(1);
    let handlers = handlers.map(|it| it.split("))").next().unwrap().matches("::").count().max(1));

    assert_eq!(operations(&document()).len(), handlers.sum::<usize>());
    // A route made without `routes!` would not be in it.
    assert!(!source.contains(".route("));
}

#[test]
fn it_is_openapi_3_1_and_says_what_it_is_about() {
    let document = document();

    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], "1.2.3");
    let tags: BTreeSet<_> = (document["tags"].as_array().unwrap().iter())
        .map(|tag| tag["name"].as_str().unwrap().to_owned())
        .collect();
    for (name, operation) in operations(&document) {
        assert!(
            tags.contains(operation["tags"][0].as_str().unwrap()),
            "{name}"
        );
        assert!(operation["summary"].is_string(), "{name}");
    }
}

#[test]
fn operations_have_names_of_their_own() {
    let operations = operations(&document());

    let names: BTreeSet<_> = operations
        .iter()
        .map(|(_, it)| it["operationId"].as_str())
        .collect();

    assert_eq!(names.len(), operations.len());
    assert!(names.contains(&Some("patch_services_service_servers_server")));
}

#[test]
fn every_schema_and_every_key_is_described() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas.len() > 30);

    for (name, schema) in schemas {
        assert!(schema["description"].is_string(), "{name}");
        for (key, member) in schema["properties"].as_object().into_iter().flatten() {
            // What may be left out is told where it is not null.
            let described = [member, &member["oneOf"][1]].map(|it| it["description"].is_string());
            assert!(described.contains(&true), "{name}.{key}: {member}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(
                    members
                        .get("$ref")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                members.values().for_each(|it| references(it, found));
            }
            Value::Array(items) => items.iter().for_each(|it| references(it, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);

    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_change_tells_of_its_conditions_and_refusals() {
    for (name, operation) in operations(&document()) {
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("403"), "{name}");
        let changes = ["put ", "patch ", "delete "];
        if changes.iter().any(|method| name.starts_with(method)) {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(
                parameters.iter().any(|it| it["name"] == "If-Match"),
                "{name}"
            );
            for status in ["412", "428"] {
                let content = &responses[status]["content"]["application/json"];
                assert_eq!(
                    content["schema"]["$ref"], "#/components/schemas/ErrorView",
                    "{name}"
                );
            }
        }
    }
}
