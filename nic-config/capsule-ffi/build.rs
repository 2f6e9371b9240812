//! Finds DPDK 22.11, compiles the C beside this crate and lets bindgen write the declarations.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The oldest DPDK whose names `compat.rs` maps; the first that has `rxmode.mtu`, main-lcore and
/// allow-list wording and the `RTE_ETH_` prefixes all together.
const OLDEST_DPDK: &str = "22.11";

/// Functions of DPDK and libnuma that capsule or our own modules call; nothing else is declared.
const FUNCTIONS: &[&str] = &[
    // EAL, threads, memory sockets
    "rte_eal_cleanup",
    "rte_eal_init",
    "rte_eal_lcore_role",
    "rte_socket_count",
    "rte_socket_id",
    "rte_socket_id_by_idx",
    "rte_strerror",
    "rte_thread_register",
    "rte_thread_set_affinity",
    "rte_thread_unregister",
    "numa_node_of_cpu",
    // mempools and mbufs
    "rte_mempool_avail_count",
    "rte_mempool_free",
    "rte_mempool_in_use_count",
    "rte_mempool_lookup",
    "rte_pktmbuf_free_bulk",
    "rte_pktmbuf_pool_create",
    // ports
    "rte_eth_allmulticast_disable",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_name_by_port",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_rss_hash_conf_get",
    "rte_eth_dev_rss_hash_update",
    "rte_eth_dev_rss_reta_query",
    "rte_eth_dev_rss_reta_update",
    "rte_eth_dev_rx_offload_name",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_dev_tx_offload_name",
    "rte_eth_link_get_nowait",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_disable",
    "rte_eth_promiscuous_enable",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_tx_queue_setup",
    // src/shim.c
    "_rte_.*",
];

/// Types named by capsule or by us; what they contain follows by itself.
const TYPES: &[&str] = &[
    "rte_cpuset_t",
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_link",
    "rte_eth_rss_conf",
    "rte_eth_rss_reta_entry64",
    "rte_eth_rx_mq_mode",
    "rte_eth_stats",
    "rte_ether_addr",
    "rte_lcore_role_t",
    "rte_mbuf",
    "rte_mempool",
];

/// Constants: macros that bindgen can evaluate, and those which `bindings.h` evaluates for it.
const CONSTANTS: &[&str] = &[
    "RTE_ETHER_CRC_LEN",
    "RTE_ETHER_HDR_LEN",
    "RTE_ETH_NAME_MAX_LEN",
    "RTE_ETH_RETA_GROUP_SIZE",
    "RTE_MBUF_DEFAULT_BUF_SIZE",
    "RTE_PKTMBUF_HEADROOM",
    "LCORE_ANY",
    "RSS_.*",
    "RX_OFFLOAD_.*",
    "TX_OFFLOAD_.*",
    "MBUF_TX_.*",
];

/// Types behind pointers that nobody looks into; several are packed in ways Rust cannot express.
const OPAQUE: &[&str] =
    &["rte_device", "rte_memzone", "rte_mempool_ops", "rte_mbuf_ext_shared_info"];

fn main() {
    for file in ["bindings.h", "shim.c", "channels.c"] {
        println!("cargo:rerun-if-changed=src/{file}");
    }
    let flags = dpdk_flags();
    compile_c(&flags);
    write_bindings(&flags);
    println!("cargo:rustc-link-lib=numa");
}

/// Tells cargo what to link and returns the compiler flags that DPDK's headers need, machine flag
/// included: the inline functions must be compiled for what the library was compiled for.
fn dpdk_flags() -> Vec<String> {
    if let Err(error) = pkg_config::Config::new().atleast_version(OLDEST_DPDK).probe("libdpdk") {
        eprintln!(
            "DPDK {OLDEST_DPDK} or newer was not found by pkg-config: install the Debian package \
             libdpdk-dev (and pkg-config, libnuma-dev).\n{error}"
        );
        std::process::exit(1);
    }
    let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".to_owned());
    let output = Command::new(&pkg_config).args(["--cflags", "libdpdk"]).output();
    let output = output.unwrap_or_else(|error| panic!("{pkg_config} does not run: {error}"));
    let mut flags: Vec<String> =
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect();
    flags.push("-D_GNU_SOURCE".to_owned());
    flags
}

fn compile_c(flags: &[String]) {
    let build = |file: &str| {
        let mut build = cc::Build::new();
        build.file(file).opt_level(3).warnings(true).flag("-Wno-unused-parameter");
        for flag in flags {
            build.flag(flag);
        }
        build
    };
    build("src/shim.c").compile("capsule_ffi_shim");
    // Nothing refers to this object by name, yet it must be in every executable.
    build("src/channels.c").link_lib_modifier("+whole-archive").compile("capsule_ffi_channels");
}

fn write_bindings(flags: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("src/bindings.h")
        .clang_args(flags)
        .derive_default(true)
        .generate_comments(false)
        .layout_tests(false)
        .constified_enum_module("rte_eth_rx_mq_mode")
        .prepend_enum_name(false);
    builder = FUNCTIONS.iter().fold(builder, bindgen::Builder::allowlist_function);
    builder = TYPES.iter().fold(builder, bindgen::Builder::allowlist_type);
    builder = CONSTANTS.iter().fold(builder, bindgen::Builder::allowlist_var);
    builder = OPAQUE.iter().fold(builder, bindgen::Builder::opaque_type);
    let bindings =
        builder.generate().expect("bindgen over src/bindings.h (is libclang-dev there?)");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindings.write_to_file(out.join("bindings.rs")).expect("writing bindings.rs");
}
