//! Steps as commands for a shell, and as the script that LVS's users know: start, stop, status.

use std::fmt::Write as _;

use super::Plan;
use super::step::Step;

/// The commands that do a plan, or undo it, for `sh -e`.
#[must_use]
pub fn commands(plan: &Plan, is_undone: bool) -> String {
    let verb = if is_undone { "Undoes" } else { "Makes this" };
    let mut text = format!(
        "# {verb} {}. As root, through `sh -e`; twice does no harm.\n",
        plan.title
    );
    if !is_undone {
        for note in &plan.notes {
            let _ = writeln!(text, "# {note}");
        }
    }
    for lines in blocks(plan, is_undone) {
        let _ = writeln!(text, "{lines}");
    }
    text
}

/// A step's commands, each behind its condition; nothing where there is nothing to do.
pub(super) fn block(step: &Step, is_undone: bool) -> String {
    if is_undone {
        return step.undo.join("\n");
    }
    let why = match step.why {
        "" => String::new(),
        why => format!("# {why}\n"),
    };
    match (&step.holds, step.run.as_slice()) {
        (_, []) => String::new(),
        (None, commands) => format!("{why}{}", commands.join("\n")),
        (Some(holds), [command]) => format!("{why}{holds} || {command}"),
        (Some(holds), commands) => {
            format!("{why}{holds} || {{\n    {}\n}}", commands.join("\n    "))
        }
    }
}

fn blocks(plan: &Plan, is_undone: bool) -> impl Iterator<Item = String> {
    let mut steps: Vec<_> = plan.steps.iter().collect();
    if is_undone {
        steps.reverse();
    }
    let blocks = steps.into_iter().map(move |step| block(step, is_undone));
    blocks.filter(|lines| !lines.is_empty())
}

/// A script in the form of LVS's, for any POSIX shell.
#[must_use]
pub fn script(plan: &Plan) -> String {
    let mut text = format!(
        "#!/bin/sh\n# start | stop | restart | status: makes this {}.\n# Written by `sluicectl \
         realserver-setup`.\nset -eu\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n",
        plan.title
    );
    for note in &plan.notes {
        let _ = writeln!(text, "# {note}");
    }
    text += &function("start", blocks(plan, false));
    text += &function("stop", blocks(plan, true));
    text += &status(plan);
    // A directory can be locked as it is, and this one is always there.
    text += "\n# Several run at the same time after a boot, and settings are shared.\ncase ${1:-} in\n    \
             start | stop | restart)\n        exec 9</var/lib\n        flock 9\n        ;;\nesac\n";
    text += "\ncase ${1:-} in\n    start) start ;;\n    stop) stop ;;\n    restart)\n        stop\n        start\n        ;;\n    \
             status) status ;;\n    *)\n        echo \"usage: $0 start|stop|restart|status\" >&2\n        \
             exit 2\n        ;;\nesac\n";
    text
}

fn function(name: &str, blocks: impl Iterator<Item = String>) -> String {
    let mut text = format!("\n{name}() {{\n");
    let lines: Vec<_> = blocks.collect();
    if lines.is_empty() {
        text += "    :\n";
    }
    for line in lines.iter().flat_map(|block| block.lines()) {
        let _ = writeln!(text, "    {line}");
    }
    text + "}\n"
}

/// As services do: 0 when it runs, 3 when it does not (LSB 5, init script actions).
fn status(plan: &Plan) -> String {
    let checks = plan.steps.iter().filter_map(|step| {
        let holds = step.holds.as_ref()?;
        Some(format!(
            "{holds} || missing=\"$missing\n    {}\"",
            step.what
        ))
    });
    let head = ["missing=".to_owned()];
    let tail = [
        "if [ -n \"$missing\" ]; then".to_owned(),
        format!(
            "    echo \"This is not, or not wholly, {}. It should be so:$missing\"",
            plan.title
        ),
        "    return 3".to_owned(),
        "fi".to_owned(),
        format!("echo \"This is {}.\"", plan.title),
    ];
    function("status", head.into_iter().chain(checks).chain(tail))
}
