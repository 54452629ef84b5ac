//! A daemon in a cloud: it is given the `glance-api.conf` of OpenStack's install guide, and asks a Keystone about tokens.

use super::{Client, Daemon, Keystone, Login, Memcached, Setup};
use std::{fmt::Write, ops::Deref};

/// How to start one.
pub(crate) struct CloudSetup<'k> {
    keystone: &'k Keystone,
    keystone_url: String,
    place: Place,
    authtoken: String,
    setup: Setup,
}

/// Where in the catalogue it is to be found.
enum Place {
    /// In a region of its own, so that daemons of one Keystone do not disturb each other.
    OwnRegion,
    /// Where clients look that name no region. The Keystone must be the test's own.
    RegionOne,
}

/// A daemon, and the Keystone behind it.
pub(crate) struct Cloud<'k> {
    daemon: Daemon,
    keystone: &'k Keystone,
    region: String,
}

impl<'k> CloudSetup<'k> {
    /// As the guide says, but for the region.
    pub(crate) fn new(keystone: &'k Keystone) -> Self {
        Self {
            keystone,
            keystone_url: keystone.url(),
            place: Place::OwnRegion,
            authtoken: String::new(),
            // The guide's database is one of MySQL. That its images are not seen is said at every start.
            setup: Setup::default()
                .option("accept_unsupported = database.connection")
                .expect_log("database"),
        }
    }

    /// To the letter: a Keystone with one region and one image service.
    pub(crate) fn alone(keystone: &'k Keystone) -> Self {
        Self {
            place: Place::RegionOne,
            ..Self::new(keystone)
        }
    }

    /// The daemon finds Keystone at this URL: that of a proxy.
    pub(crate) fn keystone_at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.keystone_url);
        self
    }

    /// A line of `[keystone_authtoken]`. Of two with the same name the later holds.
    pub(crate) fn authtoken(mut self, line: &str) -> Self {
        self.authtoken.push_str(line);
        self.authtoken.push('\n');
        self
    }

    /// Tokens are cached there.
    pub(crate) fn memcached<'m>(self, servers: impl IntoIterator<Item = &'m Memcached>) -> Self {
        let addresses: Vec<String> = servers
            .into_iter()
            .map(|memcached| memcached.address().to_string())
            .collect();
        self.authtoken(&format!("memcached_servers = {}", addresses.join(",")))
    }

    /// Lines with other sections.
    pub(crate) fn glance(mut self, text: &str) -> Self {
        self.setup = self.setup.glance(text);
        self
    }

    /// Warnings and errors that contain this are no failure of the test.
    pub(crate) fn expect_log(mut self, text: &str) -> Self {
        self.setup = self.setup.expect_log(text);
        self
    }

    /// Starts it, and says so in the catalogue.
    pub(crate) fn start(self) -> Cloud<'k> {
        let keystone = self.keystone;
        let mut authtoken = String::new();
        let region = match self.place {
            Place::RegionOne => "RegionOne".to_owned(),
            Place::OwnRegion => {
                let region = keystone.region(&self.keystone_url);
                writeln!(authtoken, "region_name = {region}").unwrap();
                region
            }
        };
        authtoken.push_str(&self.authtoken);
        let text = glance_api_conf(&keystone.url(), &self.keystone_url, &authtoken);
        let daemon = self.setup.glance_api(&text).start();
        let url = format!("http://{}", daemon.address());
        match self.place {
            Place::RegionOne => keystone.move_images(&url),
            Place::OwnRegion => keystone.endpoints("image", &region, &url),
        }
        Cloud {
            daemon,
            keystone,
            region,
        }
    }
}

impl Cloud<'_> {
    /// The API, with a new token.
    pub(crate) fn login(&self, login: &Login) -> Client {
        self.anonymous().with_token(&self.keystone.token(login))
    }

    /// The API, as one of those whom `tests/keystone/server.py` lists.
    pub(crate) fn user(&self, user: &str, project: &str) -> Client {
        self.login(&Login::of(user, project))
    }

    /// What `openrc` says in a cloud: for the stock clients.
    pub(crate) fn environment(&self, user: &str, project: &str) -> Vec<(&'static str, String)> {
        vec![
            ("OS_AUTH_URL", format!("{}/v3", self.keystone.url())),
            ("OS_IDENTITY_API_VERSION", "3".to_owned()),
            ("OS_IMAGE_API_VERSION", "2".to_owned()),
            ("OS_REGION_NAME", self.region.clone()),
            ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
            ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
            ("OS_USERNAME", user.to_owned()),
            ("OS_PROJECT_NAME", project.to_owned()),
            ("OS_PASSWORD", format!("{user}-password")),
        ]
    }

    /// Clients that name no region find the image service at this URL: that of a proxy. For a cloud that is
    /// [alone](CloudSetup::alone).
    pub(crate) fn is_found_at(&self, url: &str) {
        assert_eq!(self.region, "RegionOne");
        self.keystone.move_images(url);
    }

    /// The daemon alone: its Keystone may be killed then.
    pub(crate) fn into_daemon(self) -> Daemon {
        self.daemon
    }
}

impl Deref for Cloud<'_> {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

/// What <https://docs.openstack.org/glance/latest/install/install-debian.html> has an operator write, with `auth_url`
/// apart from what clients are told.
fn glance_api_conf(public_url: &str, keystone_url: &str, authtoken: &str) -> String {
    format!(
        "[DEFAULT]
enabled_backends = fs:file

[database]
connection = mysql+pymysql://glance:GLANCE_DBPASS@controller/glance

[keystone_authtoken]
www_authenticate_uri = {public_url}
auth_url = {keystone_url}
auth_type = password
project_domain_name = Default
user_domain_name = Default
project_name = service
username = glance
password = glance-password
{authtoken}
[paste_deploy]
flavor = keystone

[glance_store]
default_backend = fs

[fs]
filesystem_store_datadir = @ROOT@/images/
"
    )
}
