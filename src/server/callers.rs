//! Who says who is calling, as configured.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::Router;

use super::{DataDir, keystone};
use crate::{
    config::{self, Config, TrustedPeers},
    http::keystone_v3::{self, KeystoneOptions},
    identity::{
        Identity,
        everyone_is_admin::EveryoneIsAdmin,
        keystone::{Keystone, KeystoneError},
        local::{ClientFile, Endpoint, LocalIdentity, LocalOptions, OpenError, Scheme, control},
        trusted_headers::{Exposed, Listener, Reach, TrustedHeaders, check_bind},
    },
};

/// Nobody could be identified. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// The local identity cannot be opened.
    #[error(transparent)]
    Local(#[from] OpenError),
    /// The files for clients cannot be written.
    #[error("cannot write the files for clients to {dir}")]
    ClientFiles {
        /// The data directory.
        dir: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket of `saccade user` and `saccade project` cannot be made.
    #[error("cannot listen for `saccade user` and `saccade project`")]
    Control(#[source] io::Error),
    /// Headers that anybody could send would be believed.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// Something that `[keystone_authtoken]` names cannot be used.
    #[error("[keystone_authtoken] cannot be used")]
    Keystone(#[from] KeystoneError),
}

/// What tells who is calling.
pub(super) struct Callers {
    pub(super) identity: Arc<dyn Identity>,
    /// What is served beside the images: the local identity's own API.
    pub(super) extra: Router,
    local: Option<(LocalIdentity, tokio::net::UnixListener)>,
    /// The lines that a person types next.
    pub(super) try_it: Option<[String; 3]>,
}

impl Callers {
    /// Opens the configured identity for a daemon that listens on `address`. Blocks.
    pub(super) fn open(
        config: &Config,
        data_dir: &DataDir,
        address: SocketAddr,
    ) -> Result<Self, CallersError> {
        let endpoint = Endpoint::of_listener(Scheme::Http, address);
        match &config.identity {
            config::Identity::Local { token_lifetime } => {
                let options = LocalOptions {
                    token_lifetime: *token_lifetime,
                    ..LocalOptions::new(endpoint)
                };
                Self::local(config, data_dir, options)
            }
            config::Identity::TrustedHeaders { from } => {
                let reach = match from {
                    TrustedPeers::Loopback => Reach::ThisMachine,
                    TrustedPeers::Any => Reach::Network,
                };
                check_bind(Listener::Tcp(address), reach)?;
                let identity = TrustedHeaders::new(endpoint.as_str());
                tracing::info!("identity: headers of an authenticating proxy");
                Ok(Self::elsewhere(Arc::new(identity)))
            }
            config::Identity::Keystone(told) => {
                let keystone = Keystone::new(keystone::options(told))?;
                tracing::info!("identity: Keystone at {}", told.auth_url);
                // In the background: a Keystone that is down or slow is no reason not to start.
                tokio::spawn(keystone.warm_up());
                Ok(Self::elsewhere(Arc::new(keystone)))
            }
            config::Identity::NoneEveryoneIsAdmin => {
                tracing::info!("identity: none, everyone is an administrator");
                Ok(Self::elsewhere(Arc::new(EveryoneIsAdmin)))
            }
        }
    }

    /// Users are not kept here.
    fn elsewhere(identity: Arc<dyn Identity>) -> Self {
        Self {
            identity,
            extra: Router::new(),
            local: None,
            try_it: None,
        }
    }

    fn local(config: &Config, data_dir: &DataDir, options: LocalOptions) -> Result<Self, CallersError> {
        let dir = data_dir.path();
        let (identity, bootstrap) = LocalIdentity::open(dir, options)?;
        let files = identity.write_client_files(bootstrap.as_ref());
        let files = files.map_err(|source| CallersError::ClientFiles {
            dir: dir.display().to_string(),
            source,
        })?;
        let public = config.server.public_endpoint.as_deref();
        let keystone = KeystoneOptions {
            // One that is not a plain address is for the versions document only.
            public_endpoint: public.and_then(|text| Endpoint::parse(text).ok()),
            scheme: Scheme::Http,
        };
        let control = control::bind(dir).map_err(CallersError::Control)?;
        let written: Vec<&ClientFile> = vec![&files.clouds_yaml, &files.openrc];
        for file in written {
            tracing::info!(path = %file.path.display(), state = ?file.state, "file for clients");
        }
        tracing::info!("identity: local users");
        Ok(Self {
            extra: keystone_v3::router(identity.clone(), keystone),
            identity: Arc::new(identity.clone()),
            local: Some((identity, control)),
            try_it: Some(files.try_it),
        })
    }

    /// Takes what must run beside the listeners: answers `saccade user` and `saccade project` until `stop` resolves.
    pub(super) fn take_control(
        &mut self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        let (identity, listener) = self.local.take()?;
        Some(control::serve(listener, identity, stop))
    }
}
