//! Names, resolved once, and only to addresses that pass.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use tokio::sync::Semaphore;

use crate::{Filter, HostName, Refusal};

/// Turns names into addresses.
#[async_trait]
pub trait Resolver: Send + Sync + fmt::Debug {
    /// All addresses of a name. Called within the time to connect; cancel safe.
    ///
    /// # Errors
    /// The name has none, or none could be learned.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Which names there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Whole names only, as Glance's import has it: search domains would let `secret` through where
    /// `secret.corp.example` is in `disallowed_hosts`. With glibc this leaves `/etc/hosts` out, too.
    Absolute,
    /// As every program of the machine has it, with search domains and `/etc/hosts`.
    Machine,
}

/// How many names are asked for at once: a name server that hangs holds threads that file I/O needs, too.
const AT_ONCE: usize = 16;

/// The system's resolver (getaddrinfo). It blocks a thread for each name, of at most 16 at a time; clones share them.
#[derive(Debug, Clone)]
pub struct SystemResolver {
    lookup: Lookup,
    at_once: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver of these names.
    pub fn new(lookup: Lookup) -> Self {
        Self {
            lookup,
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let name = match self.lookup {
            Lookup::Absolute => format!("{}.", name.trim_end_matches('.')),
            Lookup::Machine => name.to_owned(),
        };
        let turn = Arc::clone(&self.at_once).acquire_owned().await;
        let asking = tokio::task::spawn_blocking(move || {
            // Until the system has answered, whether or not anybody still waits for it.
            let _turn = turn;
            let found = (name, 0).to_socket_addrs()?;
            Ok(found.map(|address| address.ip()).collect())
        });
        asking.await.map_err(io::Error::other)?
    }
}

/// What the connector asks: gives it only addresses that the filter admits.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) filter: Arc<Filter>,
    pub(crate) resolver: Arc<dyn Resolver>,
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nowhere {
    #[error(transparent)]
    Refused(Refusal),
    #[error("the name could not be resolved")]
    Unresolved(#[source] io::Error),
}

impl Checked {
    /// The addresses of a name that may be connected to, at least one.
    pub(crate) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Nowhere> {
        let host = HostName::of_name(name);
        let mut refusal = None;
        let mut admitted = Vec::new();
        for address in self.resolver.resolve(name).await.map_err(Nowhere::Unresolved)? {
            match self.filter.admit_address(&host, address) {
                Ok(()) => admitted.push(address),
                Err(why) => {
                    tracing::debug!("not connected to: {why}");
                    refusal.get_or_insert(why);
                }
            }
        }
        match refusal {
            Some(why) if admitted.is_empty() => Err(Nowhere::Refused(why)),
            None if admitted.is_empty() => Err(Nowhere::Unresolved(io::Error::new(
                io::ErrorKind::NotFound,
                "it has no address",
            ))),
            _ => Ok(admitted),
        }
    }
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let checked = self.clone();
        Box::pin(async move {
            match checked.addresses(name.as_str()).await {
                // The connector puts the URL's port in.
                Ok(admitted) => {
                    Ok(Box::new(admitted.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
                }
                Err(Nowhere::Refused(why)) => Err(why.into()),
                Err(unresolved) => Err(unresolved.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::FilterOptions;

    /// Answers each question with the next of its answers, and counts.
    #[derive(Debug)]
    struct Scripted(Vec<Vec<&'static str>>, AtomicUsize);

    #[async_trait]
    impl Resolver for Scripted {
        async fn resolve(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
            let answers = &self.0[self.1.fetch_add(1, Ordering::Relaxed)];
            Ok(answers.iter().map(|address| address.parse().unwrap()).collect())
        }
    }

    fn checked(filter: Filter, answers: &[&[&'static str]]) -> Checked {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Checked {
            filter: Arc::new(filter),
            resolver: Arc::new(Scripted(answers, AtomicUsize::new(0))),
        }
    }

    async fn ask(checked: &Checked) -> Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
        let found = checked.resolve("name.example".parse()?).await?;
        Ok(found.map(|address| address.ip().to_string()).collect())
    }

    #[tokio::test]
    async fn the_connector_gets_only_what_passes() {
        let mixed = ["192.0.2.1", "127.0.0.1", "::ffff:169.254.169.254", "2001:db8::1"];
        let checked = checked(Filter::default(), &[&mixed]);
        assert_eq!(ask(&checked).await.unwrap(), ["192.0.2.1", "2001:db8::1"]);
    }

    #[tokio::test]
    async fn a_name_that_changes_its_mind_leads_nowhere() {
        let checked = checked(Filter::default(), &[&["192.0.2.1"], &["127.0.0.1", "::1"], &[]]);
        assert_eq!(ask(&checked).await.unwrap(), ["192.0.2.1"]);
        let refused = ask(&checked).await.unwrap_err();
        assert!(matches!(
            refused.downcast_ref(),
            Some(Refusal::Address {
                address: IpAddr::V4(_),
                ..
            })
        ));
        assert!(ask(&checked).await.unwrap_err().is::<Nowhere>());
    }

    #[tokio::test]
    async fn a_host_that_is_allowed_by_name_may_be_here() {
        let allowed = FilterOptions {
            allowed_hosts: vec!["Name.Example".to_owned()],
            ..FilterOptions::default()
        };
        let checked = checked(Filter::new(allowed).unwrap(), &[&["127.0.0.1"]]);
        assert_eq!(ask(&checked).await.unwrap(), ["127.0.0.1"]);
    }

    #[tokio::test]
    async fn the_system_knows_addresses_of_this_machine() {
        let found = SystemResolver::new(Lookup::Machine)
            .resolve("localhost")
            .await
            .unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
    }
}
