//! The checked configuration: every value has been parsed, and carries its unit in its type.

pub use super::value::{ByteSize, CountLimit, FileMode, HashAlgorithm, Secret};

use super::keystone::{Keystone, UnifiedLimits};
use std::{
    collections::BTreeMap, fmt, net::SocketAddr, num::NonZeroU32, num::NonZeroUsize, path::PathBuf,
    time::Duration,
};

/// All that the daemon is told. Its secrets are [`Secret`]s: `Debug` does not show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Listening, waiting, stopping.
    pub server: Server,
    /// What pages of other origins may do.
    pub cors: Cors,
    /// What the log holds and looks like.
    pub log: Log,
    /// Pages, locations, imports.
    pub api: Api,
    /// Limits on images.
    pub quotas: Quotas,
    /// What becomes of the data of deleted images.
    pub deletion: Deletion,
    /// Limits on projects.
    pub limits: Limits,
    /// Hashes of image data.
    pub hashing: Hashing,
    /// Formats, and what is checked of them.
    pub formats: Formats,
    /// Where image data is kept.
    pub stores: Stores,
    /// Where data of slow stores is kept once more.
    pub cache: Option<ImageCache>,
    /// Where the rules are.
    pub policy: Policy,
    /// What is done to every import.
    pub plugins: Plugins,
    /// Who the callers are.
    pub identity: Identity,
    /// What this node keeps for itself.
    pub node: Node,
}

/// `[DEFAULT]`, `[healthcheck]`, `[oslo_middleware]`, `[saccade]`: the listener and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where the API listens.
    pub bind: SocketAddr,
    /// Where metrics are served; `None` is nowhere.
    pub metrics_bind: Option<SocketAddr>,
    /// The address that clients use, for links in the versions document; `None` takes it from the request.
    pub public_endpoint: Option<String>,
    /// Whether `Forwarded` and `X-Forwarded-*` of a proxy are believed.
    pub enable_proxy_headers_parsing: bool,
    /// Longer request ids of clients are cut. In bytes.
    pub max_request_id_length: usize,
    /// Whether answers are compressed for clients that ask for it; never image data.
    pub gzip_responses: bool,
    /// `/healthcheck` answers 503 while this file exists.
    pub healthcheck_disable_file: Option<PathBuf>,
    /// From the signal to stop until the listener closes, `/healthcheck` answering 503 already.
    pub drain_delay: Duration,
    /// How long open requests may go on after the listener has closed.
    pub graceful_timeout: Duration,
    /// A transfer that moves no byte for so long is broken off.
    pub transfer_idle_timeout: Duration,
    /// How long the head of a request may take.
    pub request_header_timeout: Duration,
    /// For the buffers of all transfers together.
    pub transfer_memory: ByteSize,
    /// More connections wait to be accepted.
    pub max_connections: NonZeroU32,
    /// Of clients, upload and staging.
    pub uploads: AtOnce,
    /// Of image data.
    pub downloads: AtOnce,
    /// How many transfers of each direction wait for their turn.
    pub transfer_queue_length: u32,
    /// For how long.
    pub transfer_queue_timeout: Duration,
}

/// How many of something there may be at once; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AtOnce {
    /// Altogether.
    pub total: Option<NonZeroU32>,
    /// Of one project.
    pub per_project: Option<NonZeroU32>,
}

/// `[cors]`: what browsers let pages of other origins do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Those that may do anything, as browsers spell them (`https://horizon.example`); `*` is every other one.
    pub allowed_origins: Vec<String>,
    /// Whether requests may carry cookies and the like.
    pub allow_credentials: bool,
    /// Headers of answers that a page may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember what it is allowed, in seconds; 0 says nothing of it.
    pub max_age: i64,
    /// Methods of requests, in upper case.
    pub allow_methods: Vec<String>,
    /// Headers of requests, beside those that need no permission; case does not count.
    pub allow_headers: Vec<String>,
}

/// What the log holds and looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// `[DEFAULT] debug`.
    pub level: LogLevel,
    /// `[saccade] log_format`.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What an operator should know.
    Info,
    /// What a developer wants to know.
    Debug,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the API shows and offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Images on a page when the client does not say.
    pub limit_param_default: u64,
    /// Images on a page at most.
    pub api_limit_max: u64,
    /// Whether images show `direct_url`.
    pub show_image_direct_url: bool,
    /// Whether images show `locations`, and clients may change them.
    pub show_multiple_locations: bool,
    /// The import methods that the operator allows, in the order given.
    pub import_methods: Vec<ImportMethod>,
    /// How long tasks are kept after their end.
    pub task_time_to_live: Duration,
    /// Imports whose data is on its way at once.
    pub imported_at_once: NonZeroUsize,
    /// How the names of properties begin that an image of another region brings along.
    pub download_properties: Vec<String>,
    /// The URL at which other nodes reach this one, where that is not `public_endpoint`.
    pub worker_url: Option<String>,
}

/// A way to import an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMethod {
    /// Staged by the client.
    GlanceDirect,
    /// Fetched from a URL.
    WebDownload,
    /// Copied between stores.
    CopyImage,
    /// Fetched from another Glance.
    GlanceDownload,
}

/// What is done to every import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugins {
    /// Which plugins, in this order; none twice.
    pub list: Vec<ImportPlugin>,
    /// Properties that images get.
    pub inject: BTreeMap<String, String>,
    /// Whose images do not get them.
    pub ignore_user_roles: Vec<String>,
    /// What images are converted to.
    pub output_format: DiskTarget,
    /// What becomes of conversions that cannot be locked in.
    pub sandbox: ConversionSandbox,
    /// How long one conversion may take.
    pub conversion_time_limit: Duration,
}

/// A plugin of imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportPlugin {
    /// `inject_image_metadata`
    InjectMetadata,
    /// `image_decompression`
    Decompression,
    /// `image_conversion`
    Conversion,
    /// `no_op`
    NoOp,
}

/// A disk format that images are converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are Glance's own.
pub enum DiskTarget {
    Raw,
    Qcow2,
    Vmdk,
}

/// What becomes of conversions where the kernel cannot lock a process in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConversionSandbox {
    /// The daemon does not start.
    Required,
    /// They are locked in by what there is.
    BestEffort,
}

/// Limits on images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// The largest image.
    pub image_size_cap: ByteSize,
    /// Additional properties of an image.
    pub image_property_quota: CountLimit,
    /// Tags of an image.
    pub image_tag_quota: CountLimit,
    /// Members of an image.
    pub image_member_quota: CountLimit,
    /// Locations of an image.
    pub image_location_quota: CountLimit,
}

/// What becomes of the data of deleted images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Whether it is kept for a time, in which the image can be restored.
    pub delayed: bool,
    /// For how long.
    pub scrub_after: Duration,
    /// How many are deleted for good side by side.
    pub scrub_side_by_side: usize,
}

/// Limits on what a project's images take up together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limits {
    /// `user_storage_quota`: the most data of a project; `None` is no limit.
    Configured(Option<ByteSize>),
    /// `use_keystone_limits`: Keystone keeps them.
    Keystone(Box<UnifiedLimits>),
}

/// Hashes of image data. `checksum` is always MD5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// For `os_hash_algo` of new images.
    pub algorithm: HashAlgorithm,
    /// Whether data that arrives as a location is hashed, too.
    pub do_secure_hash: bool,
    /// How often it is read again, when that fails.
    pub retries: u32,
}

/// `[image_format]`, and what Saccade adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Accepted `disk_format` values.
    pub disk_formats: Vec<String>,
    /// Accepted `container_format` values.
    pub container_formats: Vec<String>,
    /// Accepted `createType` values of VMDK; empty accepts none.
    pub vmdk_allowed_types: Vec<String>,
    /// Whether data must be what `disk_format` says.
    pub require_image_format_match: bool,
    /// GPT checks whose failure does not refuse an image.
    pub gpt_safety_checks_nonfatal: Vec<String>,
    /// Whether the disks in an OVA are inspected (`inspect_ova` of `[saccade]`).
    pub inspect_ova: bool,
}

/// The stores of image data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stores {
    /// How the API speaks of them.
    pub naming: StoreNaming,
    /// The id of the one that takes data when the client names none.
    pub default: String,
    /// All of them, in the order of the configuration.
    pub list: Vec<Store>,
    /// Where users may send the daemon for data.
    pub url_filter: UrlFilter,
    /// What writes the files of those that have any.
    pub file_engine: FileEngine,
}

/// `file_engine` of `[saccade]`: who writes image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FileEngine {
    /// Threads that call `pwritev`.
    #[default]
    Pwrite,
    /// io_uring by way of tokio-uring.
    TokioUring,
    /// io_uring by way of glommio.
    Glommio,
}

/// `file_write_mode` of `[saccade]`: how bytes get to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FileWriteMode {
    /// What the file system does best.
    #[default]
    Auto,
    /// Through the page cache.
    Buffered,
    /// Through the page cache, which lets go of them (`RWF_DONTCACHE`).
    DontCache,
    /// From the buffers of the upload (`O_DIRECT`).
    Direct,
}

/// One store of image data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// As written in `enabled_backends`.
    pub id: String,
    /// For `/v2/info/stores`.
    pub description: Option<String>,
    /// Its place among others: the greatest is read first.
    pub weight: i64,
    /// What it is.
    pub driver: StoreDriver,
}

/// How the API speaks of stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreNaming {
    /// `enabled_backends` is not set: it does not, and their ids are ours.
    Single,
    /// By the ids of `enabled_backends`.
    Named,
}

/// The driver of a store, with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreDriver {
    /// One file for each image.
    File(FileStore),
    /// What web servers have; never written.
    Http(HttpStore),
    /// One object for each image.
    S3(Box<S3Store>),
    /// One object for each image, or segments with a manifest.
    Swift(Box<SwiftStore>),
}

/// `s3_store_*` options, by the rest of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct S3Store {
    pub host: String,
    pub bucket: String,
    pub access_key: Secret,
    pub secret_key: Secret,
    /// Empty where it follows from the host.
    pub region_name: String,
    pub create_bucket_on_put: bool,
    pub bucket_url_format: S3BucketUrlFormat,
    /// In MiB.
    pub large_object_size: u64,
    /// In MiB.
    pub large_object_chunk_size: u64,
    pub thread_pools: u64,
    /// Authorities that the server is verified with; `None` takes the system's.
    pub cacert: Option<PathBuf>,
    pub enable_data_integrity_protection: bool,
    pub request_checksum_calculation: S3Checksums,
    pub response_checksum_validation: S3Checksums,
}

/// How the bucket is named in requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3BucketUrlFormat {
    /// As boto decides.
    Auto,
    /// In the name of the host.
    Virtual,
    /// In the path.
    Path,
}

/// When checksums are made or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Checksums {
    /// `when_required`.
    WhenRequired,
    /// `when_supported`.
    WhenSupported,
}

/// `swift_store_*` options, by the rest of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SwiftStore {
    /// References to accounts; `None`: the one account of the options below.
    pub config_file: Option<PathBuf>,
    /// The account that is written to (`default_swift_reference`).
    pub default_reference: String,
    pub auth_address: Option<String>,
    pub user: Option<Secret>,
    pub key: Option<Secret>,
    pub application_credential_id: Option<Secret>,
    pub application_credential_secret: Option<Secret>,
    /// `swift_store_auth_version`.
    pub authentication: SwiftAuthentication,
    pub endpoint: Option<String>,
    pub endpoint_type: SwiftEndpointType,
    pub service_type: String,
    /// `None`: the first of the catalogue.
    pub region: Option<String>,
    pub container: String,
    pub multiple_containers_seed: u64,
    pub create_container_on_put: bool,
    /// In MB of 1,024,000 bytes, as glance_store counts them.
    pub large_object_size: u64,
    /// In the same MB.
    pub large_object_chunk_size: u64,
    /// Authorities that servers are verified with; `None` takes the system's.
    pub cacert: Option<PathBuf>,
    pub auth_insecure: bool,
    pub retry_get_count: u64,
    /// In seconds.
    pub expire_soon_interval: u64,
    /// Where images go.
    pub accounts: SwiftAccounts,
}

/// `swift_store_multi_tenant`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwiftAccounts {
    /// Into the store's own account.
    Own,
    /// Into those of the projects that bring them.
    OfProjects {
        /// The ids of projects that may write to the containers (`swift_store_admin_tenants`).
        admins: Vec<String>,
    },
}

impl SwiftStore {
    /// What the locations of all that the store writes begin with, where that is in one account.
    pub fn location_prefix(&self) -> Option<String> {
        let own = || format!("swift+config://{}/{}", self.default_reference, self.container);
        (self.accounts == SwiftAccounts::Own).then(own)
    }
}

/// Who gives the tokens for Swift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwiftAuthentication {
    /// Keystone, version 3.
    Keystone,
    /// The object server itself: tempauth, or RGW's own.
    OfTheServer,
}

/// Which of the catalogue's addresses is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwiftEndpointType {
    /// `publicURL`.
    Public,
    /// `internalURL`.
    Internal,
    /// `adminURL`.
    Admin,
}

/// `http_*` and `https_*` options.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpStore {
    /// Authorities that servers are verified with; `None` takes the system's.
    pub ca_certificates_file: Option<PathBuf>,
    /// Whether servers are not verified at all.
    pub insecure: bool,
    /// Proxies by scheme.
    pub proxies: Vec<(String, String)>,
}

impl fmt::Debug for HttpStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy may want a password.
        f.debug_struct("HttpStore")
            .field("ca_certificates_file", &self.ca_certificates_file)
            .field("insecure", &self.insecure)
            .field("proxies", &self.proxies.len())
            .finish()
    }
}

/// `[import_filtering_opts]`, by Glance's names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct UrlFilter {
    pub allowed_schemes: Vec<String>,
    pub disallowed_schemes: Vec<String>,
    pub allowed_hosts: Vec<String>,
    pub disallowed_hosts: Vec<String>,
    pub allowed_ports: Vec<u16>,
    pub disallowed_ports: Vec<u16>,
}

/// `filesystem_*` options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStore {
    /// Hold the image files; at least one.
    pub datadirs: Vec<DataDirectory>,
    /// Says what locations carry, by where in the file system the data is.
    pub metadata_file: Option<PathBuf>,
    /// `None` leaves the mode to the umask.
    pub file_mode: Option<FileMode>,
    /// Whether zeroes become holes.
    pub thin_provisioning: bool,
    /// How bytes get to the disk.
    pub write_mode: FileWriteMode,
}

/// One of the directories of a store of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// The greatest is filled first.
    pub priority: i64,
}

/// `image_cache_*`: data of slow stores on the local disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageCache {
    /// Where it is: absolute.
    pub dir: PathBuf,
    /// Of all its files together.
    pub max_size: ByteSize,
    /// What comes to a standstill for so long is given up.
    pub stall_time: Duration,
    /// What keeps its index in Glance; here it says how the API answers.
    pub driver: CacheDriver,
    /// What stands in the pipeline for it.
    pub pipeline: CachePipeline,
    /// Whether images are cached that are files already (`cache_filesystem_stores` of `[saccade]`).
    pub filesystem_stores: bool,
    /// How other nodes reach this one (`worker_self_reference_url`).
    pub node_url: Option<String>,
}

/// `image_cache_driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are Glance's own.
pub enum CacheDriver {
    CentralizedDb,
    Sqlite,
    Xattr,
}

/// What stands in the pipeline for the image cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CachePipeline {
    /// Nothing: no download fills it.
    None,
    /// `cache`.
    Cache,
    /// `cachemanage`, with or without `cache`: it is also administered by the routes of before 2.14.
    CacheManage,
}

/// `[oslo_policy]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The file of rules.
    pub file: PolicyFile,
    /// Directories of more rules, applied in this order. Each is the first of these places that is one.
    pub dirs: Vec<Vec<PathBuf>>,
    /// The rule for actions that have none.
    pub default_rule: String,
    /// Whether only the secure defaults hold; else what was permitted before them is, too.
    pub enforce_new_defaults: bool,
    /// Who may do what to which properties; `None` protects none.
    pub properties: Option<PropertyProtection>,
}

/// `property_protection_file`, with what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyProtection {
    /// The file.
    pub file: PathBuf,
    /// What its values are.
    pub format: PropertyRuleFormat,
}

/// `property_protection_rule_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyRuleFormat {
    /// Roles.
    Roles,
    /// Names of rules of the policy files.
    Policies,
}

/// Which file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyFile {
    /// One that the configuration names, found.
    Named(PathBuf),
    /// The first of these that is there, if one is; it may appear later.
    Stock(Vec<PathBuf>),
}

/// Who says who a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Users and tokens of this daemon itself.
    Local {
        /// How long a token is good for.
        token_lifetime: Duration,
    },
    /// A proxy in front, in headers.
    TrustedHeaders {
        /// Whose headers are believed.
        from: TrustedPeers,
    },
    /// A real Keystone, asked about every token that is not known yet.
    Keystone(Box<Keystone>),
    /// Nobody: each request is an administrator's, as in Glance without a flavor.
    NoneEveryoneIsAdmin,
}

/// Whose identity headers are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedPeers {
    /// Only connections from this machine.
    Loopback,
    /// Every connection: the network keeps others away.
    Any,
}

/// What this node keeps for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Metadata, ledger, keys: absolute.
    pub data_dir: PathBuf,
    /// Uploads are refused before the free space under `data_dir` falls below this.
    pub free_space_reserve: ByteSize,
    /// How long another node waits before it takes a silent node's claim for abandoned.
    pub claim_lease: Duration,
}
