//! Whole outcomes, compared.

use dataplane::testing::{
    Builder, CLIENT, GATEWAY_MAC, GATEWAY_SERVER_MAC, RIP_1, RIP_1_MAC, Transport, VIP, endpoint,
    tcp, udp,
};

use super::*;
use crate::outcome::{Input, Output, ShellLine};

fn scenario(rule: &str) -> Scenario {
    let text = format!(
        "[net]\nif eth0 addr 10.1.0.1/24 addr 10.1.0.100/32 mac {GATEWAY_MAC}\n\
         if eth1 addr 10.2.0.1/24 mac {GATEWAY_SERVER_MAC}\n[ipvs]\n{rule}\n"
    );
    crate::read::parse("name", std::path::Path::new("."), &text).unwrap()
}

/// A side that was given these frames, on the clients' side.
fn given(frames: &[Vec<u8>]) -> Outcome {
    let inputs = frames.iter().map(|frame| Input {
        nanos: 0,
        interface: "eth0".to_owned(),
        frame: frame.clone(),
    });
    Outcome {
        inputs: inputs.collect(),
        ..Outcome::default()
    }
}

fn output(after: usize, interface: &str, frame: Vec<u8>) -> Output {
    Output {
        after: Some(after),
        nanos: 0,
        interface: interface.to_owned(),
        frame,
    }
}

fn sent(mut side: Outcome, after: usize, interface: &str, frame: Vec<u8>) -> Outcome {
    side.frames.push(output(after, interface, frame));
    side
}

fn punted(mut side: Outcome, after: usize) -> Outcome {
    let input = side.inputs[after].clone();
    side.punted
        .push(output(after, &input.interface, input.frame));
    side
}

fn found(kernel: &Outcome, gateway: &Outcome) -> Vec<Difference> {
    compare(&scenario(""), kernel, gateway, Clocks::Same).differences
}

/// A packet on its way to the first server.
fn to_server<T: Transport>(packet: Builder<T>) -> Vec<u8> {
    packet
        .eth_from(GATEWAY_SERVER_MAC)
        .eth_to(RIP_1_MAC)
        .to(RIP_1)
        .ttl(63)
        .build()
}

#[test]
fn frames_that_are_the_same_are_no_difference() {
    let input = given(&[tcp().syn().build()]);
    let side = sent(input, 0, "eth1", to_server(tcp().syn()));

    assert_eq!(found(&side, &side), []);
}

#[test]
fn another_byte_interface_or_input_is_a_difference() {
    let input = given(&[tcp().syn().build(), tcp().build()]);
    let kernel = sent(input.clone(), 0, "eth1", to_server(tcp().syn()));
    let others = [
        input.clone(),
        sent(input.clone(), 0, "eth0", to_server(tcp().syn())),
        sent(input.clone(), 1, "eth1", to_server(tcp().syn())),
        sent(input.clone(), 0, "eth1", to_server(tcp().syn().tos(4))),
        sent(kernel.clone(), 0, "eth1", to_server(tcp().syn())),
    ];
    for gateway in others {
        assert!(matches!(found(&kernel, &gateway)[0], Difference::Frames(_)));
        assert!(matches!(found(&gateway, &kernel)[0], Difference::Frames(_)));
    }
}

#[test]
fn an_account_of_a_difference_shows_both_sides() {
    let input = given(&[tcp().syn().build()]);
    let kernel = sent(input.clone(), 0, "eth1", to_server(tcp().syn()));

    let told = found(&kernel, &input)[0].to_string();

    assert!(
        told.starts_with("after frame 0: 02:00:00:01:00:09 > "),
        "{told}"
    );
    assert!(
        told.contains("kernel  | eth1 02:00:00:02:00:01 > 02:00:00:02:00:0b"),
        "{told}"
    );
    assert!(told.contains("gateway | nothing else"), "{told}");
}

#[test]
fn what_linux_answers_must_have_been_given_to_it() {
    let input = given(&[tcp().build()]);
    let reset = tcp().from(VIP).to(CLIENT).rst().build();
    let kernel = sent(input.clone(), 0, "eth0", reset);

    assert_eq!(found(&kernel, &punted(input.clone(), 0)), []);
    assert_eq!(found(&kernel, &input).len(), 1);
}

#[test]
fn what_ipvs_forwarded_or_dropped_must_not_be_given_to_linux() {
    let input = given(&[tcp().build()]);
    let forwarded = sent(input.clone(), 0, "eth1", to_server(tcp()));

    assert_eq!(found(&forwarded, &punted(input.clone(), 0)).len(), 1);
    // Linux would have reset it, had the kernel's IPVS not taken it.
    assert_eq!(found(&input, &punted(input.clone(), 0)).len(), 1);
}

#[test]
fn fragments_may_be_cut_and_sent_at_other_times() {
    let packet = udp().id(7).payload_len(2_000);
    let whole = to_server(packet.clone());
    let input = given(&packet.fragments(1_500));
    let cut = packet
        .eth_from(GATEWAY_SERVER_MAC)
        .eth_to(RIP_1_MAC)
        .to(RIP_1)
        .ttl(63);
    let each = cut.fragments(1_500);
    let kernel = sent(input.clone(), 1, "eth1", whole);
    let gateway = each
        .into_iter()
        .enumerate()
        .fold(input.clone(), |side, (after, frame)| {
            sent(side, after, "eth1", frame)
        });

    assert_eq!(found(&kernel, &gateway), []);
    let mut late = gateway;
    late.frames.pop();
    assert_eq!(found(&kernel, &late).len(), 2);
}

#[test]
fn other_inputs_are_the_only_difference_told() {
    let kernel = given(&[tcp().build()]);

    assert_eq!(
        found(&kernel, &given(&[])),
        [Difference::Inputs {
            kernel: 1,
            gateway: 0
        }]
    );
}

#[test]
fn what_commands_say_and_how_they_end_is_compared() {
    let said = |output: &str, status| Outcome {
        shell: vec![ShellLine {
            errors: String::new(),
            command: "ipvsadm -D -t 10.1.0.100:80".to_owned(),
            after: 0,
            output: output.to_owned(),
            status,
        }],
        ..Outcome::default()
    };

    assert_eq!(
        found(
            &said("No such service\n", 255),
            &said("No such service\n", 255)
        ),
        []
    );
    assert_eq!(
        found(&said("No such service\n", 255), &said("", 255)).len(),
        1
    );
    assert_eq!(found(&said("", 255), &said("", 0)).len(), 1);
    assert_eq!(found(&said("", 0), &Outcome::default()).len(), 1);
}

#[test]
fn a_scheduler_that_draws_is_compared_by_how_often() {
    let scenario = scenario("-A -t 10.1.0.100:80 -s twos");
    assert!(is_random(&scenario));
    let client = |number| tcp().syn().from(endpoint([10, 1, 0, 9], number)).build();
    let inputs: Vec<Vec<u8>> = (0..40).map(client).collect();
    let spread = |first: usize| {
        inputs
            .iter()
            .enumerate()
            .fold(given(&inputs), |side, (after, _)| {
                let mac = if after < first {
                    RIP_1_MAC
                } else {
                    GATEWAY_MAC
                };
                sent(side, after, "eth1", tcp().eth_to(mac).build())
            })
    };

    let chance = compare(&scenario, &spread(20), &spread(25), Clocks::Same);
    let fault = compare(&scenario, &spread(0), &spread(40), Clocks::Same);

    assert_eq!(chance.differences, []);
    assert_eq!(fault.differences.len(), 2);
}
