//! Glance's rules and their defaults (`glance/policies/*.py` of Glance 33).

use std::borrow::Cow;

/// Which of Glance's defaults hold (`enforce_new_defaults`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Defaults {
    /// The secure ones.
    #[default]
    New,
    /// What the secure ones permit, and what the ones before permitted: nearly everything to everyone, in the bounds
    /// that Glance's code sets then, which are ownership.
    WithOld,
}

/// Whether a rule is only for tokens that are scoped to a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeType {
    /// Any token.
    Any,
    /// `scope_types=['project']`: tokens of a domain, of the system or of nothing are denied, whatever a policy
    /// file says.
    Project,
}

/// The table: each rule's variant, name, scope and default.
macro_rules! rules {
    ($($variant:ident $name:literal $scope:ident $check:expr;)*) => {
        /// A rule that the API asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // The names are Glance's own.
        pub enum Rule {
            $($variant,)*
        }

        impl Rule {
            /// All rules, in Glance's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The rule's name in policy files.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Which tokens it is for.
            pub const fn scope(self) -> ScopeType {
                match self {
                    $(Self::$variant => ScopeType::$scope,)*
                }
            }

            /// What Glance's secure defaults say, in the policy language.
            pub const fn default_check(self) -> &'static str {
                match self {
                    $(Self::$variant => $check,)*
                }
            }
        }
    };
}

impl Rule {
    /// The rule of this name in policy files.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }

    /// What held before Glance's secure defaults, where it was something else (the `deprecated_rule` of
    /// `glance/policies/*.py`).
    pub const fn old_check(self) -> Option<&'static str> {
        match self {
            Self::AddImage
            | Self::DeleteImage
            | Self::GetImage
            | Self::GetImages
            | Self::ModifyImage
            | Self::CommunitizeImage
            | Self::DownloadImage
            | Self::UploadImage
            | Self::DeleteImageLocation
            | Self::GetImageLocation
            | Self::SetImageLocation
            | Self::AddMember
            | Self::DeleteMember
            | Self::GetMember
            | Self::GetMembers
            | Self::ModifyMember
            | Self::Deactivate
            | Self::Reactivate => Some(DEFAULT),
            Self::GetMetadefNamespace
            | Self::GetMetadefNamespaces
            | Self::GetMetadefObject
            | Self::GetMetadefObjects
            | Self::ListMetadefResourceTypes
            | Self::GetMetadefResourceType
            | Self::GetMetadefProperty
            | Self::GetMetadefProperties
            | Self::GetMetadefTag
            | Self::GetMetadefTags => Some("rule:metadef_default"),
            Self::CacheImage | Self::CacheList | Self::CacheDelete => Some("rule:manage_image_cache"),
            Self::StoresInfoDetail => Some(ADMIN),
            _ => None,
        }
    }

    /// What holds when no policy file says otherwise, in the policy language.
    pub fn check(self, defaults: Defaults) -> Cow<'static, str> {
        match (defaults, self.old_check()) {
            (Defaults::WithOld, Some(old)) => format!("({}) or {old}", self.default_check()).into(),
            _ => self.default_check().into(),
        }
    }

    /// Whether Glance defines the rule and asks for it no more (`glance/policies/tasks.py`).
    pub const fn is_obsolete(self) -> bool {
        matches!(
            self,
            Self::GetTask | Self::GetTasks | Self::AddTask | Self::ModifyTask
        )
    }
}

const NOTHING: &str = "";
const DEFAULT: &str = "rule:default";
const ADMIN: &str = "rule:context_is_admin";
const SERVICE: &str = "rule:service_api";
const ADMIN_OR_SERVICE: &str = "rule:context_is_admin or rule:service_api";
const MEMBER: &str = "rule:context_is_admin or (role:member and project_id:%(project_id)s)";
const READER: &str = "rule:context_is_admin or (role:reader and project_id:%(project_id)s)";
const CREATE: &str = "rule:context_is_admin or \
    (role:member and project_id:%(project_id)s and project_id:%(owner)s)";
const ADD_LOCATION: &str = "rule:service_api or \
    (role:member and project_id:%(project_id)s and project_id:%(owner)s)";
const SHOW: &str = "rule:context_is_admin or (role:reader and \
    (project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or \
    'public':%(visibility)s or 'shared':%(visibility)s))";
const DOWNLOAD: &str = "rule:context_is_admin or (role:member and \
    (project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s or \
    'public':%(visibility)s or 'shared':%(visibility)s))";
const SHARED_MEMBER: &str = "rule:context_is_admin or (role:member and project_id:%(member_id)s)";
const READER_OR_SHARED_MEMBER: &str = "rule:context_is_admin or \
    role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)";
const NAMESPACE: &str = "rule:context_is_admin or \
    (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))";
const NAMESPACE_ADMIN: &str = "rule:metadef_admin";

rules! {
    Default "default" Any NOTHING;
    ContextIsAdmin "context_is_admin" Any "role:admin";
    ServiceApi "service_api" Any "role:service or role:admin";

    AddImage "add_image" Project CREATE;
    DeleteImage "delete_image" Project MEMBER;
    GetImage "get_image" Project SHOW;
    GetImages "get_images" Project READER;
    ModifyImage "modify_image" Project MEMBER;
    PublicizeImage "publicize_image" Project ADMIN;
    CommunitizeImage "communitize_image" Project MEMBER;
    DownloadImage "download_image" Project DOWNLOAD;
    DownloadFromStore "download_from_store" Project DOWNLOAD;
    UploadImage "upload_image" Project MEMBER;
    DeleteImageLocation "delete_image_location" Project ADMIN;
    GetImageLocation "get_image_location" Project READER;
    SetImageLocation "set_image_location" Project MEMBER;
    AddImageLocation "add_image_location" Project ADD_LOCATION;
    FetchImageLocation "fetch_image_location" Project SERVICE;
    AddMember "add_member" Project MEMBER;
    DeleteMember "delete_member" Project MEMBER;
    GetMember "get_member" Project READER_OR_SHARED_MEMBER;
    GetMembers "get_members" Project READER_OR_SHARED_MEMBER;
    ModifyMember "modify_member" Project SHARED_MEMBER;
    ManageImageCache "manage_image_cache" Project ADMIN;
    Deactivate "deactivate" Project MEMBER;
    Reactivate "reactivate" Project MEMBER;
    CopyImage "copy_image" Project ADMIN;
    ListCachedNodes "list_cached_nodes" Project ADMIN;

    GetTask "get_task" Project DEFAULT;
    GetTasks "get_tasks" Project DEFAULT;
    AddTask "add_task" Project DEFAULT;
    ModifyTask "modify_task" Project DEFAULT;
    TasksApiAccess "tasks_api_access" Project ADMIN;

    MetadefDefault "metadef_default" Any NOTHING;
    MetadefAdmin "metadef_admin" Any ADMIN;
    GetMetadefNamespace "get_metadef_namespace" Project NAMESPACE;
    GetMetadefNamespaces "get_metadef_namespaces" Project READER;
    ModifyMetadefNamespace "modify_metadef_namespace" Project NAMESPACE_ADMIN;
    AddMetadefNamespace "add_metadef_namespace" Project NAMESPACE_ADMIN;
    DeleteMetadefNamespace "delete_metadef_namespace" Project NAMESPACE_ADMIN;
    GetMetadefObject "get_metadef_object" Project NAMESPACE;
    GetMetadefObjects "get_metadef_objects" Project NAMESPACE;
    ModifyMetadefObject "modify_metadef_object" Project NAMESPACE_ADMIN;
    AddMetadefObject "add_metadef_object" Project NAMESPACE_ADMIN;
    DeleteMetadefObject "delete_metadef_object" Project NAMESPACE_ADMIN;
    ListMetadefResourceTypes "list_metadef_resource_types" Project NAMESPACE;
    GetMetadefResourceType "get_metadef_resource_type" Project NAMESPACE;
    AddMetadefResourceTypeAssociation "add_metadef_resource_type_association" Project NAMESPACE_ADMIN;
    RemoveMetadefResourceTypeAssociation "remove_metadef_resource_type_association" Project NAMESPACE_ADMIN;
    GetMetadefProperty "get_metadef_property" Project NAMESPACE;
    GetMetadefProperties "get_metadef_properties" Project NAMESPACE;
    ModifyMetadefProperty "modify_metadef_property" Project NAMESPACE_ADMIN;
    AddMetadefProperty "add_metadef_property" Project NAMESPACE_ADMIN;
    RemoveMetadefProperty "remove_metadef_property" Project NAMESPACE_ADMIN;
    GetMetadefTag "get_metadef_tag" Project NAMESPACE;
    GetMetadefTags "get_metadef_tags" Project NAMESPACE;
    ModifyMetadefTag "modify_metadef_tag" Project NAMESPACE_ADMIN;
    AddMetadefTag "add_metadef_tag" Project NAMESPACE_ADMIN;
    AddMetadefTags "add_metadef_tags" Project NAMESPACE_ADMIN;
    DeleteMetadefTag "delete_metadef_tag" Project NAMESPACE_ADMIN;
    DeleteMetadefTags "delete_metadef_tags" Project NAMESPACE_ADMIN;

    CacheImage "cache_image" Project ADMIN;
    CacheList "cache_list" Project ADMIN;
    CacheDelete "cache_delete" Project ADMIN;
    CacheClean "cache_clean" Project ADMIN;
    CachePrune "cache_prune" Project ADMIN;

    StoresInfoDetail "stores_info_detail" Project ADMIN_OR_SERVICE;
}
