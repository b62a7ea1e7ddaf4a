//! Every option: its names, kind, default, who may change it, and what it means here.
//!
//! CONFIG GET, CONFIG SET, CONFIG REWRITE and the file parser all read this one table. It holds every name that
//! Redis 7 to 8 and Valkey 9.1 list, so that their configurations load as they are. A row with `apply` or a special
//! kind has an effect; one with `refused` takes no value but its default, because ignoring it would break what the
//! user asked for; any other is kept and shown, and changes nothing.

use super::special::Special;
use super::types::{AppendFsync, Cores, Guard, MaxmemoryPolicy};
use super::value::{Kind, Value};
use super::{Config, checks, path};
use std::collections::HashMap;
use std::sync::LazyLock;

/// A row of the table.
pub struct Opt {
    pub name: &'static str,
    /// A second name, older or newer; empty if none.
    pub alias: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    /// Set at start only.
    pub immutable: bool,
    /// CONFIG SET needs `enable-protected-configs`.
    pub protected: bool,
    /// Not while the data is loaded.
    pub settled: bool,
    /// Not listed by CONFIG GET patterns.
    pub hidden: bool,
    /// Its value is a secret: never logged.
    pub sensitive: bool,
    /// Copies the value into its field.
    pub apply: Option<fn(&mut Config, &Value)>,
    /// Why only the default can be had.
    pub refused: Option<&'static str>,
    /// A file may say anything, to no effect; but CONFIG SET of anything but the default gets this answer.
    pub ignored: Option<&'static str>,
}

impl Opt {
    const fn new(name: &'static str, default: &'static str, kind: Kind) -> Opt {
        Opt {
            name,
            alias: "",
            kind,
            default,
            immutable: false,
            protected: false,
            settled: false,
            hidden: false,
            sensitive: false,
            apply: None,
            refused: None,
            ignored: None,
        }
    }

    const fn alias(self, alias: &'static str) -> Opt {
        Opt { alias, ..self }
    }

    const fn immutable(self) -> Opt {
        Opt { immutable: true, ..self }
    }

    const fn protected(self) -> Opt {
        Opt { protected: true, ..self }
    }

    const fn settled(self) -> Opt {
        Opt { settled: true, ..self }
    }

    const fn hidden(self) -> Opt {
        Opt { hidden: true, ..self }
    }

    const fn sensitive(self) -> Opt {
        Opt { sensitive: true, ..self }
    }

    const fn apply(self, apply: fn(&mut Config, &Value)) -> Opt {
        Opt { apply: Some(apply), ..self }
    }

    const fn refused(self, why: &'static str) -> Opt {
        Opt { refused: Some(why), ..self }
    }

    const fn ignored(self, why: &'static str) -> Opt {
        Opt { ignored: Some(why), ..self }
    }

    /// Whether an option of this name keeps its value while the data is loaded.
    pub fn is_settled(name: &[u8]) -> bool {
        Opt::find(name).is_some_and(|at| TABLE[at].settled)
    }

    /// Whether the value of an option of this name is a secret.
    pub fn is_sensitive(name: &[u8]) -> bool {
        Opt::find(name).is_some_and(|at| TABLE[at].sensitive)
    }

    /// The index of the row with this name or alias, in any case.
    pub fn find(name: &[u8]) -> Option<usize> {
        static INDEX: LazyLock<HashMap<&'static [u8], usize>> = LazyLock::new(|| {
            let names = TABLE.iter().enumerate().flat_map(|(at, opt)| [(opt.name, at), (opt.alias, at)]);
            names.filter(|(name, _)| !name.is_empty()).map(|(name, at)| (name.as_bytes(), at)).collect()
        });
        INDEX.get(name.to_ascii_lowercase().as_slice()).copied()
    }
}

/// Names that files may still hold and that mean nothing any more.
pub const DEPRECATED: &[&str] =
    &["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

const I32: i128 = i32::MAX as i128;
const I64: i128 = i64::MAX as i128;
const U32: i128 = u32::MAX as i128;
const U64: i128 = u64::MAX as i128;
const PORT: i128 = 65535;
const KB: i128 = 1 << 10;
const MB: i128 = 1 << 20;

const NO_TLS: &str = "TLS is not supported by this build";
/// Clients look for the first words, to know that there is nothing to be had.
const NO_DEFRAG: &str = "Active defragmentation cannot be enabled: Ringfort's allocation needs none";
const NO_CLUSTER: &str = "cluster mode is not supported by this build";

const fn bool(name: &'static str, default: &'static str) -> Opt {
    Opt::new(name, default, Kind::Bool)
}
const fn int(name: &'static str, default: &'static str, low: i128, high: i128) -> Opt {
    Opt::new(name, default, Kind::Int(low, high))
}
const fn mem(name: &'static str, default: &'static str, low: i128, high: i128) -> Opt {
    Opt::new(name, default, Kind::Memory(low, high))
}
const fn word(name: &'static str, default: &'static str, words: &'static [&'static str]) -> Opt {
    Opt::new(name, default, Kind::Word(words))
}
const fn text(name: &'static str, default: &'static str) -> Opt {
    Opt::new(name, default, Kind::Text(checks::any))
}
const fn optional(name: &'static str) -> Opt {
    Opt::new(name, "", Kind::Optional(checks::any))
}
const fn special(name: &'static str, special: Special) -> Opt {
    Opt::new(name, "", Kind::Special(special))
}

const SHUTDOWN: &[&str] = &["default", "save", "nosave", "now", "force"];
const FACILITIES: &[&str] =
    &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

pub static TABLE: &[Opt] = &[
    // Ringfort's own.
    Opt::new("cores", "", Kind::Text(checks::cores)).immutable().apply(|c, v| {
        c.cores = Cores::parse(v.bytes()).expect("checked when parsed");
    }),
    int("poll-us-max", "50", 0, 1_000_000).apply(|c, v| c.poll_us_max = v.int()),
    // Network.
    special("bind", Special::Bind),
    int("port", "6379", 0, PORT).apply(|c, v| c.port = v.int()),
    int("tcp-backlog", "511", 0, I32).immutable().apply(|c, v| c.tcp_backlog = v.int()),
    int("tcp-keepalive", "300", 0, I32).apply(|c, v| c.tcp_keepalive_s = v.int()),
    int("timeout", "0", 0, I32).apply(|c, v| c.timeout_s = v.int()),
    optional("unixsocket").immutable().apply(|c, v| c.unixsocket = v.optional(path)),
    Opt::new("unixsocketperm", "0", Kind::Octal(0, 0o777))
        .immutable()
        .apply(|c, v| c.unixsocketperm = v.int()),
    optional("unixsocketgroup").immutable(),
    bool("protected-mode", "yes").apply(|c, v| c.protected_mode = v.bool()),
    int("maxclients", "10000", 1, U32).apply(|c, v| c.maxclients = v.int()),
    int("max-new-connections-per-cycle", "10", 1, 1000),
    int("max-new-tls-connections-per-cycle", "1", 1, 1000),
    optional("bind-source-addr").apply(|c, v| c.bind_source_addr = v.optional(|_| v.string())),
    int("socket-mark-id", "0", 0, U32).immutable(),
    bool("mptcp", "no").immutable(),
    optional("rdma-bind").refused("No RDMA building support."),
    int("rdma-port", "0", 0, PORT).refused("No RDMA building support."),
    int("rdma-completion-vector", "-1", -1, 1024).immutable(),
    int("rdma-rx-size", "1048576", 64 * KB, 16 * MB).immutable(),
    mem("proto-max-bulk-len", "512mb", MB, I64).apply(|c, v| c.proto_max_bulk_len = v.int()),
    mem("client-query-buffer-limit", "1gb", MB, I64).apply(|c, v| c.client_query_buffer_limit = v.int()),
    special("client-output-buffer-limit", Special::ClientOutputBufferLimit),
    Opt::new("maxmemory-clients", "0", Kind::MemoryOrPercent(-100, I64))
        .apply(|c, v| c.maxmemory_clients = v.int()),
    // TLS.
    int("tls-port", "0", 0, PORT).refused(NO_TLS),
    bool("tls-cluster", "no").refused(NO_TLS),
    bool("tls-replication", "no").refused(NO_TLS),
    word("tls-auth-clients", "yes", &["no", "yes", "optional"]),
    word("tls-auth-clients-user", "off", &["CN", "URI", "off"]),
    int("tls-auto-reload-interval", "0", 0, I32),
    bool("tls-prefer-server-ciphers", "no"),
    bool("tls-session-caching", "yes"),
    int("tls-session-cache-size", "20480", 0, I32),
    int("tls-session-cache-timeout", "300", 0, I32),
    optional("tls-cert-file"),
    optional("tls-key-file"),
    optional("tls-key-file-pass").sensitive(),
    optional("tls-client-cert-file"),
    optional("tls-client-key-file"),
    optional("tls-client-key-file-pass").sensitive(),
    optional("tls-dh-params-file"),
    optional("tls-ca-cert-file"),
    optional("tls-ca-cert-dir"),
    optional("tls-protocols"),
    optional("tls-ciphers"),
    optional("tls-ciphersuites"),
    // The process.
    bool("daemonize", "no").immutable().apply(|c, v| c.daemonize = v.bool()),
    word("supervised", "no", &["upstart", "systemd", "auto", "no"])
        .immutable()
        .apply(|c, v| c.supervised = v.word()),
    optional("pidfile").immutable().apply(|c, v| c.pidfile = v.optional(path)),
    word("loglevel", "notice", &["debug", "verbose", "notice", "warning", "nothing"])
        .apply(|c, v| c.loglevel = v.word()),
    text("logfile", "").immutable().apply(|c, v| c.logfile = v.optional(path)),
    word("log-format", "legacy", &["legacy", "logfmt", "json"]),
    word("log-timestamp-format", "legacy", &["legacy", "iso8601", "milliseconds"]),
    bool("hide-user-data-from-log", "yes"),
    bool("syslog-enabled", "no").immutable().apply(|c, v| c.syslog_enabled = v.bool()),
    text("syslog-ident", "ringfort").immutable().apply(|c, v| c.syslog_ident = v.string()),
    word("syslog-facility", "local0", FACILITIES).immutable().apply(|c, v| c.syslog_facility = v.word()),
    bool("crash-log-enabled", "yes"),
    bool("crash-memcheck-enabled", "yes"),
    bool("always-show-logo", "no").immutable(),
    bool("set-proc-title", "yes").immutable().apply(|c, v| c.set_proc_title = v.bool()),
    Opt::new(
        "proc-title-template",
        "{title} {listen-addr} {server-mode}",
        Kind::Text(checks::title_template),
    )
    .apply(|c, v| c.proc_title_template = v.string()),
    special("dir", Special::Dir).protected().settled(),
    int("databases", "16", 1, I32).immutable().apply(|c, v| c.databases = v.int()),
    Opt::new("hz", "10", Kind::Clamped(1, 500)).apply(|c, v| c.hz = v.int()),
    bool("dynamic-hz", "yes"),
    text("ignore-warnings", ""),
    text("locale-collate", ""),
    text("availability-zone", "").apply(|c, v| c.availability_zone = v.string()),
    bool("disable-thp", "yes").immutable().apply(|c, v| c.disable_thp = v.bool()),
    word("oom-score-adj", "no", &["no", "yes", "relative", "absolute"]),
    special("oom-score-adj-values", Special::OomScoreAdjValues),
    int("shutdown-timeout", "10", 0, I32).apply(|c, v| c.shutdown_timeout_s = v.int()),
    Opt::new("shutdown-on-sigint", "default", Kind::Words(SHUTDOWN, checks::shutdown))
        .apply(|c, v| c.shutdown_on_sigint = v.string()),
    Opt::new("shutdown-on-sigterm", "default", Kind::Words(SHUTDOWN, checks::shutdown))
        .apply(|c, v| c.shutdown_on_sigterm = v.string()),
    optional("server-cpulist").alias("server_cpulist").immutable(),
    optional("bio-cpulist").alias("bio_cpulist").immutable(),
    optional("aof-rewrite-cpulist").alias("aof_rewrite_cpulist").immutable(),
    optional("bgsave-cpulist").alias("bgsave_cpulist").immutable(),
    int("io-threads", "1", 1, 256).immutable(),
    bool("io-threads-do-reads", "no").immutable(),
    int("prefetch-batch-max-size", "16", 0, 128),
    int("lookahead", "16", 1, I32),
    bool("jemalloc-bg-thread", "yes"),
    // Who may do what.
    optional("requirepass").sensitive().apply(|c, v| c.requirepass = v.optional(<[u8]>::to_vec)),
    text("aclfile", "").immutable().apply(|c, v| c.aclfile = v.optional(path)),
    int("acllog-max-len", "128", 0, I64).apply(|c, v| c.acllog_max_len = v.int()),
    word("acl-pubsub-default", "resetchannels", &["allchannels", "resetchannels"])
        .apply(|c, v| c.acl_pubsub_allchannels = v.word() == "allchannels"),
    word("enable-protected-configs", "no", Guard::WORDS)
        .immutable()
        .apply(|c, v| c.enable_protected_configs = Guard::named(v.word())),
    word("enable-debug-command", "no", Guard::WORDS)
        .immutable()
        .apply(|c, v| c.enable_debug_command = Guard::named(v.word())),
    word("enable-module-command", "no", Guard::WORDS)
        .immutable()
        .apply(|c, v| c.enable_module_command = Guard::named(v.word())),
    bool("extended-redis-compatibility", "no"),
    // Memory.
    mem("maxmemory", "0", 0, U64).apply(|c, v| c.maxmemory = v.int()),
    word("maxmemory-policy", "noeviction", MaxmemoryPolicy::WORDS)
        .apply(|c, v| c.maxmemory_policy = MaxmemoryPolicy::named(v.word())),
    int("maxmemory-samples", "5", 1, 64).apply(|c, v| c.maxmemory_samples = v.int()),
    int("maxmemory-eviction-tenacity", "10", 0, 100).apply(|c, v| c.maxmemory_eviction_tenacity = v.int()),
    int("lfu-log-factor", "10", 0, I32).apply(|c, v| c.lfu_log_factor = v.int()),
    int("lfu-decay-time", "1", 0, I32).apply(|c, v| c.lfu_decay_time = v.int()),
    int("active-expire-effort", "1", 1, 10).apply(|c, v| c.active_expire_effort = v.int()),
    bool("lazyexpire-nested-arbitrary-keys", "yes"),
    bool("lazyfree-lazy-eviction", "no").apply(|c, v| c.lazyfree_lazy_eviction = v.bool()),
    bool("lazyfree-lazy-expire", "no").apply(|c, v| c.lazyfree_lazy_expire = v.bool()),
    bool("lazyfree-lazy-server-del", "no").apply(|c, v| c.lazyfree_lazy_server_del = v.bool()),
    bool("lazyfree-lazy-user-del", "no").apply(|c, v| c.lazyfree_lazy_user_del = v.bool()),
    bool("lazyfree-lazy-user-flush", "no").apply(|c, v| c.lazyfree_lazy_user_flush = v.bool()),
    bool("activerehashing", "yes").apply(|c, v| c.activerehashing = v.bool()),
    bool("activedefrag", "no").ignored(NO_DEFRAG),
    int("active-defrag-cycle-min", "1", 1, 99),
    int("active-defrag-cycle-max", "25", 1, 99),
    int("active-defrag-cycle-us", "500", 0, 100_000),
    int("active-defrag-threshold-lower", "10", 0, 1000),
    int("active-defrag-threshold-upper", "100", 0, 1000),
    mem("active-defrag-ignore-bytes", "100mb", 1, I64),
    int("active-defrag-max-scan-fields", "1000", 1, I64),
    // Encodings.
    int("hash-max-listpack-entries", "512", 0, I64)
        .alias("hash-max-ziplist-entries")
        .apply(|c, v| c.hash_max_listpack_entries = v.int()),
    mem("hash-max-listpack-value", "64", 0, I64)
        .alias("hash-max-ziplist-value")
        .apply(|c, v| c.hash_max_listpack_value = v.int()),
    int("list-max-listpack-size", "-2", -I32 - 1, I32)
        .alias("list-max-ziplist-size")
        .apply(|c, v| c.list_max_listpack_size = v.int()),
    int("list-compress-depth", "0", 0, I32).apply(|c, v| c.list_compress_depth = v.int()),
    int("set-max-intset-entries", "512", 0, I64).apply(|c, v| c.set_max_intset_entries = v.int()),
    int("set-max-listpack-entries", "128", 0, I64).apply(|c, v| c.set_max_listpack_entries = v.int()),
    int("set-max-listpack-value", "64", 0, I64).apply(|c, v| c.set_max_listpack_value = v.int()),
    int("zset-max-listpack-entries", "128", 0, I64)
        .alias("zset-max-ziplist-entries")
        .apply(|c, v| c.zset_max_listpack_entries = v.int()),
    mem("zset-max-listpack-value", "64", 0, I64)
        .alias("zset-max-ziplist-value")
        .apply(|c, v| c.zset_max_listpack_value = v.int()),
    mem("hll-sparse-max-bytes", "3000", 0, I64).apply(|c, v| c.hll_sparse_max_bytes = v.int()),
    mem("stream-node-max-bytes", "4096", 0, I64).apply(|c, v| c.stream_node_max_bytes = v.int()),
    int("stream-node-max-entries", "100", 0, I64).apply(|c, v| c.stream_node_max_entries = v.int()),
    bool("vset-force-single-threaded-execution", "no"),
    optional("hash-seed").immutable().sensitive(),
    // Observing.
    int("slowlog-log-slower-than", "10000", -1, I64)
        .alias("commandlog-execution-slower-than")
        .apply(|c, v| c.slowlog_log_slower_than_us = v.int()),
    int("slowlog-max-len", "128", 0, I64)
        .alias("commandlog-slow-execution-max-len")
        .apply(|c, v| c.slowlog_max_len = v.int()),
    int("commandlog-request-larger-than", "1048576", -1, I64)
        .apply(|c, v| c.commandlog_request_larger_than = v.int()),
    int("commandlog-large-request-max-len", "128", 0, I64)
        .apply(|c, v| c.commandlog_large_request_max_len = v.int()),
    int("commandlog-reply-larger-than", "1048576", -1, I64)
        .apply(|c, v| c.commandlog_reply_larger_than = v.int()),
    int("commandlog-large-reply-max-len", "128", 0, I64)
        .apply(|c, v| c.commandlog_large_reply_max_len = v.int()),
    int("latency-monitor-threshold", "0", 0, I64).apply(|c, v| c.latency_monitor_threshold_ms = v.int()),
    bool("latency-tracking", "yes").apply(|c, v| c.latency_tracking = v.bool()),
    special("latency-tracking-info-percentiles", Special::Percentiles),
    special("notify-keyspace-events", Special::NotifyKeyspaceEvents),
    int("tracking-table-max-keys", "1000000", 0, I64).apply(|c, v| c.tracking_table_max_keys = v.int()),
    int("busy-reply-threshold", "5000", 0, I64)
        .alias("lua-time-limit")
        .apply(|c, v| c.busy_reply_threshold_ms = v.int()),
    // Snapshots and the append-only file.
    special("save", Special::Save),
    Opt::new("dbfilename", "dump.rdb", Kind::Text(checks::dbfilename))
        .protected()
        .apply(|c, v| c.dbfilename = v.string()),
    bool("rdbcompression", "yes").apply(|c, v| c.rdbcompression = v.bool()),
    bool("rdbchecksum", "yes").immutable().apply(|c, v| c.rdbchecksum = v.bool()),
    word("rdb-dialect", "redis", &["redis", "redis-7.0", "valkey"]).apply(|c, v| c.rdb_dialect = v.word()),
    bool("rdb-del-sync-files", "no"),
    bool("rdb-save-incremental-fsync", "yes"),
    word("rdb-version-check", "strict", &["strict", "relaxed"])
        .apply(|c, v| c.rdb_version_check = v.word() == "strict"),
    // Values are checked through and through, whoever sends them.
    word("sanitize-dump-payload", "no", &["no", "yes", "clients"]),
    bool("stop-writes-on-bgsave-error", "yes").apply(|c, v| c.stop_writes_on_bgsave_error = v.bool()),
    bool("appendonly", "no").settled().apply(|c, v| c.appendonly = v.bool()),
    Opt::new("appendfilename", "appendonly.aof", Kind::Text(checks::appendfilename))
        .immutable()
        .apply(|c, v| c.appendfilename = v.string()),
    Opt::new("appenddirname", "appendonlydir", Kind::Text(checks::appenddirname))
        .immutable()
        .apply(|c, v| c.appenddirname = v.string()),
    word("appendfsync", "everysec", AppendFsync::WORDS)
        .apply(|c, v| c.appendfsync = AppendFsync::named(v.word())),
    bool("no-appendfsync-on-rewrite", "no").apply(|c, v| c.no_appendfsync_on_rewrite = v.bool()),
    int("auto-aof-rewrite-percentage", "100", 0, I32).apply(|c, v| c.auto_aof_rewrite_percentage = v.int()),
    mem("auto-aof-rewrite-min-size", "64mb", 0, I64).apply(|c, v| c.auto_aof_rewrite_min_size = v.int()),
    bool("aof-load-truncated", "yes").apply(|c, v| c.aof_load_truncated = v.bool()),
    mem("aof-load-corrupt-tail-max-size", "0", 0, I64)
        .apply(|c, v| c.aof_load_corrupt_tail_max_bytes = v.int()),
    bool("aof-use-rdb-preamble", "yes").apply(|c, v| c.aof_use_rdb_preamble = v.bool()),
    bool("aof-timestamp-enabled", "no").apply(|c, v| c.aof_timestamp_enabled = v.bool()),
    bool("aof-rewrite-incremental-fsync", "yes"),
    bool("aof-disable-auto-gc", "no").hidden(),
    // Replication.
    special("replicaof", Special::ReplicaOf).alias("slaveof").immutable(),
    optional("masterauth")
        .alias("primaryauth")
        .sensitive()
        .apply(|c, v| c.masterauth = v.optional(<[u8]>::to_vec)),
    optional("masteruser")
        .alias("primaryuser")
        .sensitive()
        .apply(|c, v| c.masteruser = v.optional(<[u8]>::to_vec)),
    bool("replica-serve-stale-data", "yes")
        .alias("slave-serve-stale-data")
        .apply(|c, v| c.replica_serve_stale_data = v.bool()),
    bool("replica-read-only", "yes").alias("slave-read-only").apply(|c, v| c.replica_read_only = v.bool()),
    int("replica-priority", "100", 0, I32).alias("slave-priority").apply(|c, v| c.replica_priority = v.int()),
    bool("replica-announced", "yes").apply(|c, v| c.replica_announced = v.bool()),
    optional("replica-announce-ip")
        .alias("slave-announce-ip")
        .apply(|c, v| c.replica_announce_ip = v.optional(|_| v.string())),
    int("replica-announce-port", "0", 0, PORT)
        .alias("slave-announce-port")
        .apply(|c, v| c.replica_announce_port = v.int()),
    bool("replica-ignore-maxmemory", "yes")
        .alias("slave-ignore-maxmemory")
        .apply(|c, v| c.replica_ignore_maxmemory = v.bool()),
    bool("replica-lazy-flush", "no").alias("slave-lazy-flush"),
    bool("replica-ignore-disk-write-errors", "no"),
    mem("replica-full-sync-buffer-limit", "0", 0, U64),
    int("min-replicas-to-write", "0", 0, I32)
        .alias("min-slaves-to-write")
        .apply(|c, v| c.min_replicas_to_write = v.int()),
    int("min-replicas-max-lag", "10", 0, I32)
        .alias("min-slaves-max-lag")
        .apply(|c, v| c.min_replicas_max_lag_s = v.int()),
    int("repl-ping-replica-period", "10", 1, I32)
        .alias("repl-ping-slave-period")
        .apply(|c, v| c.repl_ping_replica_period_s = v.int()),
    int("repl-timeout", "60", 1, I32).apply(|c, v| c.repl_timeout_s = v.int()),
    Opt::new("repl-backlog-size", "1mb", Kind::MemoryFrom(16 * KB))
        .apply(|c, v| c.repl_backlog_size = v.int()),
    int("repl-backlog-ttl", "3600", 0, I64).apply(|c, v| c.repl_backlog_ttl_s = v.int()),
    bool("repl-disable-tcp-nodelay", "no"),
    bool("repl-diskless-sync", "yes"),
    int("repl-diskless-sync-delay", "5", 0, I32).apply(|c, v| c.repl_diskless_sync_delay_s = v.int()),
    int("repl-diskless-sync-max-replicas", "0", 0, I32),
    word("repl-diskless-load", "disabled", &["disabled", "on-empty-db", "swapdb", "flush-before-load"])
        .settled(),
    bool("repl-rdb-channel", "no"),
    bool("repl-mptcp", "no").immutable(),
    bool("dual-channel-replication-enabled", "no"),
    bool("import-mode", "no"),
    word("propagation-error-behavior", "ignore", &["ignore", "panic", "panic-on-replicas"]),
    // Cluster.
    bool("cluster-enabled", "no").immutable().apply(|c, v| c.cluster_enabled = v.bool()).refused(NO_CLUSTER),
    text("cluster-config-file", "nodes.conf").immutable(),
    int("cluster-node-timeout", "15000", 0, I64),
    int("cluster-port", "0", 0, PORT).immutable(),
    int("cluster-databases", "1", 1, I32).immutable(),
    Opt::new("cluster-announce-ip", "", Kind::Optional(checks::announce_ip)),
    int("cluster-announce-port", "0", 0, PORT),
    int("cluster-announce-bus-port", "0", 0, PORT),
    int("cluster-announce-tls-port", "0", 0, PORT),
    int("cluster-announce-client-port", "0", 0, PORT),
    int("cluster-announce-client-tls-port", "0", 0, PORT),
    Opt::new("cluster-announce-client-ipv4", "", Kind::Optional(checks::ipv4)),
    Opt::new("cluster-announce-client-ipv6", "", Kind::Optional(checks::ipv6)),
    Opt::new("cluster-announce-hostname", "", Kind::Optional(checks::hostname)),
    Opt::new("cluster-announce-human-nodename", "", Kind::Optional(checks::node_name)),
    word("cluster-preferred-endpoint-type", "ip", &["ip", "hostname", "unknown-endpoint"]),
    bool("cluster-allow-pubsubshard-when-down", "yes"),
    bool("cluster-allow-reads-when-down", "no"),
    bool("cluster-allow-replica-migration", "yes"),
    bool("cluster-require-full-coverage", "yes"),
    bool("cluster-replica-no-failover", "no").alias("cluster-slave-no-failover"),
    int("cluster-replica-validity-factor", "10", 0, I32).alias("cluster-slave-validity-factor"),
    int("cluster-migration-barrier", "1", 0, I32),
    int("cluster-blacklist-ttl", "60", -I64 - 1, I64),
    mem("cluster-link-sendbuf-limit", "0", 0, U64),
    int("cluster-manual-failover-timeout", "5000", 1, I32),
    int("cluster-ping-interval", "0", 0, I64).hidden(),
    int("cluster-compatibility-sample-ratio", "0", 0, 100),
    bool("cluster-slot-stats-enabled", "no"),
    int("cluster-slot-migration-log-max-len", "1000", 0, I64),
    word("cluster-config-save-behavior", "sync", &["sync", "best-effort"]),
    mem("slot-migration-max-failover-repl-bytes", "0", -1, I64),
    // For tests and for finding faults.
    int("key-load-delay", "0", -I32 - 1, I32).hidden().apply(|c, v| c.key_load_delay_us = v.int()),
    int("rdb-key-save-delay", "0", -I32 - 1, I32).hidden().apply(|c, v| c.rdb_key_save_delay_us = v.int()),
    int("loading-process-events-interval-bytes", "2097152", KB, I32)
        .hidden()
        .apply(|c, v| c.loading_process_events_interval_bytes = v.int()),
    int("watchdog-period", "0", 0, I32).hidden(),
    bool("use-exit-on-panic", "no").hidden(),
    bool("lua-enable-deprecated-api", "no").hidden().immutable(),
    bool("lua-enable-insecure-api", "no").hidden().protected(),
    bool("enable-debug-assert", "no").hidden().immutable(),
    bool("io-threads-always-active", "no").hidden(),
    int("min-io-threads-avoid-copy-reply", "7", 0, I32).hidden(),
    int("min-string-size-avoid-copy-reply", "16384", 0, I32).hidden(),
    int("min-string-size-avoid-copy-reply-threaded", "65536", 0, I32).hidden(),
    text("debug-context", "").hidden(),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_once() {
        let mut seen = std::collections::HashSet::new();
        for opt in TABLE {
            for name in [opt.name, opt.alias].into_iter().filter(|name| !name.is_empty()) {
                assert!(seen.insert(name), "{name} twice");
                assert_eq!(name, name.to_ascii_lowercase());
            }
        }
    }

    /// Every name that `CONFIG GET *` lists on Redis 7.0 and Valkey 9.1, and what of Redis 8 goes beyond.
    #[test]
    fn known_names_are_known() {
        for name in include_str!("known_names.txt").split_ascii_whitespace() {
            assert!(Opt::find(name.as_bytes()).is_some(), "{name}");
        }
    }

    /// What CONFIG REWRITE writes for an option, the file parser reads as the same value.
    #[test]
    fn every_default_can_be_written_and_read() {
        let default = Config::default();
        for (at, opt) in TABLE.iter().enumerate().filter(|(_, opt)| opt.name != "replicaof") {
            let mut config = Config::default();
            let args = crate::base::quoted::quote(&default.show(at));
            let args = crate::base::quoted::split(&args).unwrap();
            let many: Vec<&[u8]> = match opt.kind.takes_many() {
                true => args[0].split(|&b| b == b' ').collect(),
                false => vec![&args[0]],
            };
            config.change(at, &many, true).unwrap_or_else(|why| panic!("{}: {why}", opt.name));
            assert_eq!(config.show(at), default.show(at), "{}", opt.name);
        }
    }

    #[test]
    fn defaults_are_shown_as_redis_shows_them() {
        let config = Config::default();
        let cases = [
            ("save", "3600 1 300 100 60 10000"),
            ("bind", "* -::*"),
            (
                "client-output-buffer-limit",
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
            ),
            ("latency-tracking-info-percentiles", "50 99 99.9"),
            ("oom-score-adj-values", "0 200 800"),
            ("maxmemory", "0"),
            ("proto-max-bulk-len", "536870912"),
            ("unixsocketperm", "0"),
            ("requirepass", ""),
            ("slaveof", ""),
            ("shutdown-on-sigterm", "default"),
        ];
        for (name, want) in cases {
            let found = config.get(&[name.as_bytes()]);
            assert_eq!(String::from_utf8_lossy(&found[0].1), want, "{name}");
        }
    }
}
