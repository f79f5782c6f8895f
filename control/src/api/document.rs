//! The OpenAPI 3.1 document: made of the handlers and their types when the gateway starts.
//!
//! What every operation of a kind has in common is said here once: names in paths, the headers of
//! conditional requests, and what can be refused.

use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder};

use crate::view::ErrorView;

/// What stands above the paths.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sluice",
        description = "A layer-4 gateway, over its Unix socket. Errors are sentences: \
            `{\"errors\": [...]}`. `PUT`, `PATCH` and `DELETE` of something that is there need its \
            ETag as `If-Match`. What is allowed but worth knowing about a change is in headers \
            `Sluice-Warning`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "http://sluice", description = "/run/sluice/sluice.sock, or what `socket` says")),
    tags(
        (name = "status", description = "What the gateway does"),
        (name = "services", description = "Virtual services"),
        (name = "servers", description = "The real servers of a service"),
        (name = "local pools", description = "Local addresses for FULLNAT"),
        (name = "marks", description = "Rules for firewall marks"),
        (name = "network", description = "Ports, and neighbours as Linux has them"),
        (name = "sessions", description = "Sessions of all workers"),
        (name = "variables", description = "What IPVS has below net.ipv4.vs"),
        (name = "configuration", description = "All of it, as the file has it"),
    ),
    components(schemas(ErrorView)),
)]
pub(super) struct Document;

/// Says of every operation what its kind has in common.
pub(super) fn complete(document: &mut OpenApi, version: &str) {
    document.info.version = version.to_owned();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("patch", &mut item.patch),
            ("delete", &mut item.delete),
        ] {
            if let Some(operation) = operation {
                operation.operation_id = Some(operation_id(method, path));
                complete_operation(method, path, operation);
            }
        }
    }
}

/// Unique, as the document wants it: `get_services_service`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(['/', '{', '}', '-', '.']);
    let words = words.filter(|word| !word.is_empty() && *word != "v1");
    let words: Vec<_> = std::iter::once(method).chain(words).collect();
    words.join("_")
}

fn complete_operation(method: &str, path: &str, operation: &mut Operation) {
    let mut refusals = vec![(
        403,
        "Who asks may not: only root and the control group may change.",
    )];
    let parameters = operation.parameters.get_or_insert_default();
    for parameter in parameters.iter_mut() {
        describe(parameter, path);
    }
    let is_in = |place| parameters.iter().any(|it| it.parameter_in == place);
    if is_in(ParameterIn::Query) {
        refusals.push((400, "The question makes no sense."));
    }
    if is_in(ParameterIn::Path) {
        refusals.push((400, "The path names nothing that could be."));
        refusals.push((404, "What the path names is not there."));
    }
    if operation.request_body.is_some() {
        refusals.extend([
            (400, "The body cannot be read."),
            (413, "The body is longer than 64 MiB."),
            (415, "The body is of another type."),
            (
                422,
                "The body says what cannot be; each mistake is a sentence.",
            ),
        ]);
    }
    if matches!(method, "put" | "post" | "delete") {
        refusals.push((409, "It contradicts what is there, or takes a restart."));
    }
    let mut responses = std::mem::take(&mut operation.responses.responses);
    if matches!(method, "put" | "patch" | "delete") {
        parameters.push(header(
            "If-Match",
            "The ETag that was seen, or `*` for any",
            "*",
        ));
        parameters.push(header(
            "If-None-Match",
            "`*`: only if it is not there",
            "\"0\"",
        ));
        refusals.push((412, "It was changed meanwhile; ETag is the present one."));
        refusals.push((428, "If-Match is missing; ETag is the present one."));
    } else if responses.get("200").is_some_and(has_tag) {
        parameters.push(header(
            "If-None-Match",
            "The ETag that is known already",
            "\"0\"",
        ));
        let unchanged = Response::new("It is still what the ETag in If-None-Match stands for.");
        responses.insert("304".to_owned(), unchanged.into());
    }
    if matches!(path, "/v1/drain" | "/v1/undrain" | "/v1/realserver-check") {
        refusals.push((404, "No service has such a server."));
    }
    if path.starts_with("/v1/sessions") || path == "/v1/explain" {
        refusals.push((503, "A worker does not answer."));
    }
    for (status, description) in refusals {
        let response = responses.entry(status.to_string());
        response.or_insert_with(|| refusal(description).into());
    }
    for response in responses.values_mut() {
        if let RefOr::T(response) = response {
            describe_response(response);
        }
    }
    operation.responses.responses = responses;
}

fn has_tag(response: &RefOr<Response>) -> bool {
    matches!(response, RefOr::T(response) if response.headers.contains_key("ETag"))
}

fn describe(parameter: &mut Parameter, path: &str) {
    if parameter.parameter_in != ParameterIn::Path {
        return;
    }
    let (description, example) = match parameter.name.as_str() {
        "service" => (
            "Transport, VIP and port, or a mark: `tcp-10.1.0.100-80`, `udp-2001:db8::1-53`, `mark-3`",
            "tcp-10.1.0.100-80",
        ),
        "server" => ("Address and port: `10.2.0.11-80`", "10.2.0.11-80"),
        "name" if path.starts_with("/v1/local-pools") => ("What services call it", "lips"),
        "name" if path.starts_with("/v1/ports") => ("Its name in the configuration", "wan"),
        "name" if path.starts_with("/v1/sysctl") => ("As Linux calls it", "drop_entry"),
        _ => return,
    };
    *parameter = ParameterBuilder::from(parameter.clone())
        .description(Some(description))
        .example(Some(example.into()))
        .build();
}

fn header(name: &str, description: &str, example: &str) -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text))
        .example(Some(example.into()))
        .build()
}

fn refusal(description: &str) -> Response {
    let errors = Content::new(Some(Ref::from_schema_name("ErrorView")));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", errors)
        .build()
}

fn describe_response(response: &mut Response) {
    if response.description.is_empty() {
        response.description = "Done.".to_owned();
    }
    for (name, header) in &mut response.headers {
        let description = match name.as_str() {
            "ETag" => "Stands for this state of it",
            "Location" => "The path of what was made",
            _ => continue,
        };
        header.description = Some(description.to_owned());
    }
}
