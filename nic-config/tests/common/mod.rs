//! What the tests of the XDP program share.

use nic_config::Machine;
use nic_config::machine::Capability;

/// Whether the test may load BPF programs; prints why it is skipped otherwise.
pub(crate) fn privileged(test: &str) -> bool {
    let capabilities = Machine::probe().expect("this machine can be read").capabilities;
    let granted = [Capability::NetAdmin, Capability::SysAdmin]
        .into_iter()
        .all(|capability| capabilities.has(capability));
    if !granted {
        println!("{test}: skipped, needs CAP_NET_ADMIN and CAP_SYS_ADMIN (run as root)");
    }
    granted
}
