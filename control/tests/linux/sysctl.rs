//! The settings of a real namespace.

use control::linux::sysctl;

use crate::mirror::lan;
use crate::namespace::{in_namespace, run};

#[test]
fn the_commands_a_warning_gives_mend_what_it_warns_of() {
    in_namespace(|| {
        let _twin = lan();
        run("sysctl", "-q -w net.ipv4.ip_forward=0");
        run("sysctl", "-q -w net.ipv4.conf.all.rp_filter=1");
        run("sysctl", "-q -w net.ipv4.conf.lan0.send_redirects=1");

        let warnings = sysctl::warnings(&["lan0"]);
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        for warning in warnings {
            let (program, arguments) = warning.command.split_once(' ').unwrap();
            run(program, arguments);
        }

        assert_eq!(sysctl::warnings(&["lan0"]), []);
    });
}
