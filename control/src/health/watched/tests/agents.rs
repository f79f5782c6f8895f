//! What agents say of their servers.

use super::*;

#[test]
fn agents_take_servers_out_and_bring_them_back() {
    let mut watch = Watch::new(with_agent());
    assert_eq!(watch.seen(0)[0], row("up", Some(100), ""));

    watch.agent(0, Some(AgentState::Drain), None, 1);
    assert_eq!(watch.seen(1)[0], row("draining", Some(0), "agent drain"));
    watch.agent(0, None, Some(100), 2);
    assert_eq!(watch.seen(2)[0].0, "draining");
    watch.agent(0, Some(AgentState::Maint), None, 3);
    assert_eq!(watch.seen(3)[0], row("disabled", None, "agent maint"));
    watch.agent(0, Some(AgentState::Ready), None, 4);
    watch.agent(0, Some(AgentState::Down), None, 5);
    assert_eq!(watch.seen(5)[0], row("down", None, "agent down"));
    watch.hear(0, Answer::Agent(Err(ProbeFailure::new("no answer"))), 6);
    assert_eq!(watch.seen(6)[0].0, "down");
    watch.agent(0, Some(AgentState::Up), Some(100), 7);
    assert_eq!(watch.seen(7)[0], row("up", Some(100), "agent 100 %"));
}

#[test]
fn an_agent_that_says_0_percent_drains_its_server() {
    let mut watch = Watch::new(with_agent());

    watch.agent(0, None, Some(0), 1);
    assert_eq!(watch.seen(1)[0], row("draining", Some(0), "agent 0 %"));
    watch.agent(0, Some(AgentState::Up), None, 2);
    assert_eq!(watch.seen(2)[0].0, "draining");
    watch.agent(0, None, Some(50), 60);

    assert_eq!(watch.seen(60)[0].0, "up");
}

#[test]
fn an_agent_that_is_silent_changes_nothing_and_is_told() {
    let mut watch = Watch::new(with_agent());
    watch.agent(0, None, Some(100), 1);

    watch.hear(0, Answer::Agent(Err(ProbeFailure::new("no answer"))), 2);

    let reasons = "agent 100 %, its agent does not answer: no answer";
    assert_eq!(watch.seen(2)[0], row("up", Some(100), reasons));
    watch.agent(0, None, Some(100), 3);
    assert_eq!(watch.seen(3)[0], row("up", Some(100), "agent 100 %"));
}

#[test]
fn an_agent_says_how_many_sessions_its_server_wants() {
    let mut watch = Watch::new(with_agent());
    let mut limit = |line: &str, now| {
        watch.hear(0, Answer::Agent(Ok(AgentWord::parse(line))), now);
        let (_, standing) = watch.watched.standings().swap_remove(0);
        let limits: Vec<_> = standing.limits.values().copied().collect();
        (limits, watch.seen(now).swap_remove(0).2)
    };

    assert_eq!(
        limit("up maxconn:100", 1),
        (vec![100], "agent maxconn 100".to_owned())
    );
    assert_eq!(limit("up", 2), (vec![], String::new()));
}

#[test]
fn an_agents_percentage_moves_the_weight_within_its_bounds() {
    let mut watch = Watch::new(Health {
        weight_bounds: 40..=100,
        ..with_agent()
    });

    watch.agent(0, None, Some(5), 1);
    watch.watched.tick();
    watch.watched.settle(at(4));
    assert_eq!(watch.seen(4)[0], row("up", Some(70), "agent 70 %"));
    watch.watched.tick();
    watch.watched.settle(at(60));

    assert_eq!(watch.seen(60)[0], row("up", Some(40), "agent 40 %"));
}
