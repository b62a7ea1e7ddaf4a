//! The typed record of all options, and its defaults.

use super::file::Declared;
use super::options::TABLE;
use super::types::{AppendFsync, BufferLimit, Cores, Events, Guard, MaxmemoryPolicy, SavePoint};
use super::value::{Kind, Value};
use std::path::PathBuf;

/// The value of every option.
///
/// Invariants:
/// C1. `values` has one entry for each row of the table, in its order.
/// C2. A typed field agrees with its entry in `values`; for a row of a special kind the field is the value, and the
///     entry is unused. [`Config::put`](Config) keeps both.
#[derive(Clone, Debug)]
pub struct Config {
    // Network.
    pub bind: Vec<String>,
    pub port: u16,
    pub tcp_backlog: i32,
    /// 0: no keep-alive probes.
    pub tcp_keepalive_s: u32,
    /// Idle clients are closed after this time; 0: never.
    pub timeout_s: u32,
    pub unixsocket: Option<PathBuf>,
    /// 0: as the umask says.
    pub unixsocketperm: u32,
    pub protected_mode: bool,
    pub maxclients: u32,
    pub bind_source_addr: Option<String>,
    pub proto_max_bulk_len: u64,
    pub client_query_buffer_limit: u64,
    /// By [`ClientClass`](super::ClientClass).
    pub client_output_buffer_limits: [BufferLimit; 3],
    /// Bytes; `-n` means n percent of `maxmemory`; 0: no limit.
    pub maxmemory_clients: i64,
    // Cores.
    pub cores: Cores,
    /// How long a core polls at most before it sleeps; 0: not at all.
    pub poll_us_max: u32,
    // The process.
    pub daemonize: bool,
    /// `upstart`, `systemd`, `auto` or `no`.
    pub supervised: &'static str,
    pub pidfile: Option<PathBuf>,
    /// `debug`, `verbose`, `notice`, `warning` or `nothing`.
    pub loglevel: &'static str,
    /// `None`: standard output.
    pub logfile: Option<PathBuf>,
    pub syslog_enabled: bool,
    pub syslog_ident: String,
    pub syslog_facility: &'static str,
    pub set_proc_title: bool,
    pub proc_title_template: String,
    /// Absolute. The server enters it at start and when it changes.
    pub dir: PathBuf,
    pub databases: u32,
    pub hz: u32,
    pub availability_zone: String,
    pub disable_thp: bool,
    pub oom_score_adj_values: [i32; 3],
    pub shutdown_timeout_s: u32,
    /// `default`, or words of `save nosave now force`.
    pub shutdown_on_sigint: String,
    pub shutdown_on_sigterm: String,
    // Who may do what.
    pub requirepass: Option<Vec<u8>>,
    pub aclfile: Option<PathBuf>,
    pub acllog_max_len: usize,
    pub acl_pubsub_allchannels: bool,
    pub enable_protected_configs: Guard,
    pub enable_debug_command: Guard,
    pub enable_module_command: Guard,
    // Memory.
    /// Bytes; 0: no limit.
    pub maxmemory: u64,
    pub maxmemory_policy: MaxmemoryPolicy,
    pub maxmemory_samples: u32,
    pub maxmemory_eviction_tenacity: u32,
    pub lfu_log_factor: u32,
    pub lfu_decay_time: u32,
    pub active_expire_effort: u32,
    pub lazyfree_lazy_eviction: bool,
    pub lazyfree_lazy_expire: bool,
    pub lazyfree_lazy_server_del: bool,
    pub lazyfree_lazy_user_del: bool,
    pub lazyfree_lazy_user_flush: bool,
    pub activerehashing: bool,
    // Encodings.
    pub hash_max_listpack_entries: usize,
    pub hash_max_listpack_value: usize,
    /// Positive: elements; negative: a size class, -1 (4 kB) to -5 (64 kB).
    pub list_max_listpack_size: i32,
    pub list_compress_depth: u32,
    pub set_max_intset_entries: usize,
    pub set_max_listpack_entries: usize,
    pub set_max_listpack_value: usize,
    pub zset_max_listpack_entries: usize,
    pub zset_max_listpack_value: usize,
    pub hll_sparse_max_bytes: usize,
    pub stream_node_max_bytes: usize,
    pub stream_node_max_entries: usize,
    // Observing.
    /// -1: nothing is logged.
    pub slowlog_log_slower_than_us: i64,
    pub slowlog_max_len: usize,
    pub commandlog_request_larger_than: i64,
    pub commandlog_large_request_max_len: usize,
    pub commandlog_reply_larger_than: i64,
    pub commandlog_large_reply_max_len: usize,
    /// 0: off.
    pub latency_monitor_threshold_ms: u64,
    pub latency_tracking: bool,
    pub latency_tracking_percentiles: Vec<f64>,
    pub notify_keyspace_events: Events,
    pub tracking_table_max_keys: usize,
    /// 0: never busy.
    pub busy_reply_threshold_ms: u64,
    // Snapshots and the append-only file.
    pub save_points: Vec<SavePoint>,
    pub dbfilename: String,
    /// Who is to read what is saved: `redis` (since 7.2, or since 7.4 if fields of hashes expire), `redis-7.0` (if no fields
    /// expire), or `valkey` (since 9.0 if fields expire; otherwise any).
    pub rdb_dialect: &'static str,
    pub rdbcompression: bool,
    pub rdbchecksum: bool,
    /// Only versions of the format that are known are read.
    pub rdb_version_check: bool,
    pub stop_writes_on_bgsave_error: bool,
    pub appendonly: bool,
    pub appendfilename: String,
    pub appenddirname: String,
    pub appendfsync: AppendFsync,
    /// The log is not synced while a snapshot is written.
    pub no_appendfsync_on_rewrite: bool,
    pub auto_aof_rewrite_percentage: u32,
    pub auto_aof_rewrite_min_size: u64,
    pub aof_load_truncated: bool,
    pub aof_load_corrupt_tail_max_bytes: u64,
    pub loading_process_events_interval_bytes: u64,
    pub aof_use_rdb_preamble: bool,
    pub aof_timestamp_enabled: bool,
    // Replication.
    pub replicaof: Option<(String, u16)>,
    pub masterauth: Option<Vec<u8>>,
    pub masteruser: Option<Vec<u8>>,
    pub replica_serve_stale_data: bool,
    pub replica_read_only: bool,
    pub replica_priority: u32,
    pub replica_announced: bool,
    pub replica_announce_ip: Option<String>,
    pub replica_announce_port: u16,
    pub replica_ignore_maxmemory: bool,
    pub min_replicas_to_write: u32,
    pub min_replicas_max_lag_s: u32,
    pub repl_ping_replica_period_s: u32,
    pub repl_timeout_s: u32,
    pub repl_backlog_size: u64,
    pub repl_backlog_ttl_s: u64,
    pub repl_diskless_sync_delay_s: u32,
    // Cluster.
    pub cluster_enabled: bool,
    // For tests and for finding faults.
    pub key_load_delay_us: i32,
    pub rdb_key_save_delay_us: i32,
    // What the file declares beside options.
    /// The file the configuration came from, absolute; CONFIG REWRITE writes it.
    pub file: Option<PathBuf>,
    /// `rename-command FROM TO` lines, in order; an empty new name removes the command.
    pub renamed_commands: Vec<Declared>,
    /// `user NAME RULE...` lines, in order.
    pub users: Vec<Declared>,

    pub(super) values: Vec<Value>,
    /// A `save` line was read, so the next one adds to it.
    pub(super) save_was_read: bool,
}

impl Config {
    /// Copies a value of the row `at` into both of its places.
    pub(super) fn put(&mut self, at: usize, value: Value) {
        if let Some(apply) = TABLE[at].apply {
            apply(self, &value);
        }
        self.values[at] = value;
    }

    /// Sets the row `at` from arguments.
    pub(super) fn change(&mut self, at: usize, args: &[&[u8]], reading_file: bool) -> Result<(), String> {
        let opt = &TABLE[at];
        if let Kind::Special(special) = opt.kind {
            return special.set(self, args, reading_file);
        }
        let value = opt.kind.parse(args)?;
        if let Some(why) = opt.refused
            && value != opt.kind.parse(&[opt.default.as_bytes()])?
        {
            return Err(why.into());
        }
        self.put(at, value);
        Ok(())
    }

    /// The value of the row `at` as CONFIG GET shows it.
    pub(super) fn show(&self, at: usize) -> Vec<u8> {
        match TABLE[at].kind {
            Kind::Special(special) => special.show(self),
            kind => kind.show(&self.values[at]),
        }
    }
}

/// The defaults of the table. `dir` is the current directory.
impl Default for Config {
    fn default() -> Config {
        let mut config = blank();
        for (at, opt) in TABLE.iter().enumerate() {
            if !matches!(opt.kind, Kind::Special(_)) {
                let value = opt.kind.parse(&[opt.default.as_bytes()]);
                config.put(at, value.unwrap_or_else(|e| panic!("default of {}: {e}", opt.name)));
            }
        }
        config
    }
}

/// The defaults of the special options; every other field is overwritten from the table.
fn blank() -> Config {
    Config {
        bind: vec!["*".into(), "-::*".into()],
        port: 0,
        tcp_backlog: 0,
        tcp_keepalive_s: 0,
        timeout_s: 0,
        unixsocket: None,
        unixsocketperm: 0,
        protected_mode: false,
        maxclients: 0,
        bind_source_addr: None,
        proto_max_bulk_len: 0,
        client_query_buffer_limit: 0,
        client_output_buffer_limits: [
            BufferLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 },
            BufferLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
            BufferLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
        ],
        maxmemory_clients: 0,
        cores: Cores::All,
        poll_us_max: 0,
        daemonize: false,
        supervised: "",
        pidfile: None,
        loglevel: "",
        logfile: None,
        syslog_enabled: false,
        syslog_ident: String::new(),
        syslog_facility: "",
        set_proc_title: false,
        proc_title_template: String::new(),
        dir: std::env::current_dir().unwrap_or_else(|_| "/".into()),
        databases: 0,
        hz: 0,
        availability_zone: String::new(),
        disable_thp: false,
        oom_score_adj_values: [0, 200, 800],
        shutdown_timeout_s: 0,
        shutdown_on_sigint: String::new(),
        shutdown_on_sigterm: String::new(),
        requirepass: None,
        aclfile: None,
        acllog_max_len: 0,
        acl_pubsub_allchannels: false,
        enable_protected_configs: Guard::No,
        enable_debug_command: Guard::No,
        enable_module_command: Guard::No,
        maxmemory: 0,
        maxmemory_policy: MaxmemoryPolicy::Noeviction,
        maxmemory_samples: 0,
        maxmemory_eviction_tenacity: 0,
        lfu_log_factor: 0,
        lfu_decay_time: 0,
        active_expire_effort: 0,
        lazyfree_lazy_eviction: false,
        lazyfree_lazy_expire: false,
        lazyfree_lazy_server_del: false,
        lazyfree_lazy_user_del: false,
        lazyfree_lazy_user_flush: false,
        activerehashing: false,
        hash_max_listpack_entries: 0,
        hash_max_listpack_value: 0,
        list_max_listpack_size: 0,
        list_compress_depth: 0,
        set_max_intset_entries: 0,
        set_max_listpack_entries: 0,
        set_max_listpack_value: 0,
        zset_max_listpack_entries: 0,
        zset_max_listpack_value: 0,
        hll_sparse_max_bytes: 0,
        stream_node_max_bytes: 0,
        stream_node_max_entries: 0,
        slowlog_log_slower_than_us: 0,
        slowlog_max_len: 0,
        commandlog_request_larger_than: 0,
        commandlog_large_request_max_len: 0,
        commandlog_reply_larger_than: 0,
        commandlog_large_reply_max_len: 0,
        latency_monitor_threshold_ms: 0,
        latency_tracking: false,
        latency_tracking_percentiles: vec![50.0, 99.0, 99.9],
        notify_keyspace_events: Events::default(),
        tracking_table_max_keys: 0,
        busy_reply_threshold_ms: 0,
        save_points: [(3600, 1), (300, 100), (60, 10000)]
            .map(|(seconds, changes)| SavePoint { seconds, changes })
            .to_vec(),
        dbfilename: String::new(),
        rdb_dialect: "redis",
        rdbcompression: false,
        rdbchecksum: false,
        rdb_version_check: false,
        stop_writes_on_bgsave_error: false,
        appendonly: false,
        appendfilename: String::new(),
        appenddirname: String::new(),
        appendfsync: AppendFsync::Everysec,
        no_appendfsync_on_rewrite: false,
        auto_aof_rewrite_percentage: 0,
        auto_aof_rewrite_min_size: 0,
        aof_load_truncated: false,
        aof_load_corrupt_tail_max_bytes: 0,
        loading_process_events_interval_bytes: 0,
        aof_use_rdb_preamble: false,
        aof_timestamp_enabled: false,
        replicaof: None,
        masterauth: None,
        masteruser: None,
        replica_serve_stale_data: false,
        replica_read_only: false,
        replica_priority: 0,
        replica_announced: false,
        replica_announce_ip: None,
        replica_announce_port: 0,
        replica_ignore_maxmemory: false,
        min_replicas_to_write: 0,
        min_replicas_max_lag_s: 0,
        repl_ping_replica_period_s: 0,
        repl_timeout_s: 0,
        repl_backlog_size: 0,
        repl_backlog_ttl_s: 0,
        repl_diskless_sync_delay_s: 0,
        cluster_enabled: false,
        key_load_delay_us: 0,
        rdb_key_save_delay_us: 0,
        file: None,
        renamed_commands: Vec::new(),
        users: Vec::new(),
        values: vec![Value::Bool(false); TABLE.len()],
        save_was_read: false,
    }
}
