//! Names, resolved once, and only to addresses that pass.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{Filter, HostName};

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

/// The system's resolver (getaddrinfo, on a thread of its own).
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver(pub Lookup);

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let absolute = format!("{}.", name.trim_end_matches('.'));
        let name = match self.0 {
            Lookup::Absolute => &absolute,
            Lookup::Machine => name,
        };
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// What the connector asks: gives it only addresses that the filter admits.
pub(crate) struct Checked {
    pub(crate) filter: Arc<Filter>,
    pub(crate) resolver: Arc<dyn Resolver>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (filter, resolver) = (Arc::clone(&self.filter), Arc::clone(&self.resolver));
        Box::pin(async move {
            let host = HostName::of_name(name.as_str());
            let mut refusal = None;
            let mut admitted = Vec::new();
            for address in resolver.resolve(name.as_str()).await? {
                match filter.admit_address(&host, address) {
                    // The connector puts the URL's port in.
                    Ok(()) => admitted.push(SocketAddr::new(address, 0)),
                    Err(why) => {
                        tracing::debug!("not connected to: {why}");
                        refusal.get_or_insert(why);
                    }
                }
            }
            match refusal {
                Some(why) if admitted.is_empty() => Err(why.into()),
                None if admitted.is_empty() => {
                    Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into())
                }
                _ => Ok(Box::new(admitted.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{FilterOptions, Refusal};

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
        assert!(ask(&checked).await.unwrap_err().is::<io::Error>());
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
        let found = SystemResolver(Lookup::Machine)
            .resolve("localhost")
            .await
            .unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
    }
}
