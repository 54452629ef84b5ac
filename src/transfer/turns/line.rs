//! Who gets a place next: the rules alone, without waiting or clocks.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// On whose account something is used: a project, or a user without one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// By the id.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::transfer) struct Bounds {
    /// Places altogether.
    pub(in crate::transfer) places: usize,
    /// Places of one tenant, at most; by the share that leaves room for others it may be fewer.
    pub(in crate::transfer) per_tenant: usize,
    /// Who may wait, altogether.
    pub(in crate::transfer) waiting: usize,
}

/// A tenant that already holds places gets another one only while it holds fewer than this many times what then stays
/// free: so one alone fills four fifths, two fill eight ninths, and there is a place for who comes next. (Choudhury and
/// Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.)
const SHARE: usize = 4;

/// Names somebody who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

/// What becomes of who comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry<W> {
    /// Has a place.
    Placed,
    /// Waits; `pushed_out` waits no more, to make room in the line.
    Waits { ticket: Ticket, pushed_out: Option<W> },
    /// Cannot even wait.
    Full,
}

/// Which limit somebody is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// That of all together.
    Total,
    /// That of the tenant.
    Tenant,
}

/// Places, and who waits for one.
///
/// A free place goes to the tenant that holds the fewest among those that wait and may have one; of several, to the one that has
/// gone without for longest; within a tenant, to who came first. So a tenant that holds nothing is overtaken by each other one once at
/// most. Where the line is full, room in it is made by the tenant of which most wait: nobody fills it for others.
///
/// Between calls, nobody waits who may have a place, provided that [`Line::next`] is called until it gives nobody.
///
/// Memory: who has places or waits; nothing of anybody else. Time: by the number of those tenants.
#[derive(Debug)]
pub(super) struct Line<W> {
    bounds: Bounds,
    tenants: HashMap<Tenant, Account<W>>,
    taken: usize,
    waiting: usize,
    /// The next moment.
    clock: u64,
}

#[derive(Debug)]
struct Account<W> {
    taken: usize,
    waiting: VecDeque<(Ticket, W)>,
    /// When it got a place or gave one back last, or came.
    since: u64,
}

impl<W> Line<W> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            tenants: HashMap::new(),
            taken: 0,
            waiting: 0,
            clock: 0,
        }
    }

    /// Somebody comes.
    pub(super) fn enter(&mut self, tenant: &Tenant, waiter: impl FnOnce() -> W) -> Entry<W> {
        let held = self.tenants.get(tenant);
        let waits = held.map_or(0, |account| account.waiting.len());
        let holds = held.map_or(0, |account| account.taken);
        if waits == 0 && self.may_take(holds) {
            self.take(tenant);
            return Entry::Placed;
        }
        let mut pushed_out = None;
        if self.waiting >= self.bounds.waiting {
            pushed_out = self.push_out(waits);
            if pushed_out.is_none() {
                return Entry::Full;
            }
        }
        let ticket = Ticket(self.tick());
        let account = self.account(tenant);
        account.waiting.push_back((ticket, waiter()));
        self.waiting += 1;
        Entry::Waits { ticket, pushed_out }
    }

    /// Somebody waits no more. Whether they did.
    pub(super) fn cancel(&mut self, tenant: &Tenant, ticket: Ticket) -> bool {
        let Some(account) = self.tenants.get_mut(tenant) else {
            return false;
        };
        let at = account.waiting.iter().position(|(waits, _)| *waits == ticket);
        let Some(at) = at else { return false };
        account.waiting.remove(at);
        self.waiting -= 1;
        self.forget(tenant);
        true
    }

    /// A place of the tenant's is free again.
    pub(super) fn give_back(&mut self, tenant: &Tenant) {
        let now = self.tick();
        if let Some(account) = self.tenants.get_mut(tenant)
            && account.taken > 0
        {
            account.taken -= 1;
            account.since = now;
            self.taken -= 1;
            self.forget(tenant);
        }
    }

    /// Who has a place from now on, of those who waited.
    pub(super) fn next(&mut self) -> Option<(Tenant, W)> {
        if self.waiting == 0 {
            return None;
        }
        let waiting = self
            .tenants
            .iter()
            .filter(|(_, account)| !account.waiting.is_empty());
        let may = waiting.filter(|(_, account)| self.may_take(account.taken));
        let (tenant, _) = may.min_by_key(|(_, account)| (account.taken, account.since))?;
        let tenant = tenant.clone();
        let (_, waiter) = self.tenants.get_mut(&tenant)?.waiting.pop_front()?;
        self.waiting -= 1;
        self.take(&tenant);
        Some((tenant, waiter))
    }

    /// What keeps the tenant from having one more place.
    pub(super) fn limit_on(&self, tenant: &Tenant) -> Limit {
        let holds = self.tenants.get(tenant).map_or(0, |account| account.taken);
        match self.taken < self.bounds.places || holds >= self.bounds.per_tenant {
            true => Limit::Tenant,
            false => Limit::Total,
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn may_take(&self, holds: usize) -> bool {
        let Some(left) = self.bounds.places.checked_sub(self.taken + 1) else {
            return false;
        };
        holds < self.bounds.per_tenant && (holds == 0 || holds < left.saturating_mul(SHARE))
    }

    fn take(&mut self, tenant: &Tenant) {
        let now = self.tick();
        let account = self.account(tenant);
        account.taken += 1;
        account.since = now;
        self.taken += 1;
    }

    /// Who came last of the tenant of which most wait, if those are more than `than`.
    fn push_out(&mut self, than: usize) -> Option<W> {
        let most = self
            .tenants
            .iter()
            .max_by_key(|(_, account)| account.waiting.len());
        let (tenant, account) = most?;
        if account.waiting.len() <= than + 1 {
            return None;
        }
        let tenant = tenant.clone();
        let (_, waiter) = self.tenants.get_mut(&tenant)?.waiting.pop_back()?;
        self.waiting -= 1;
        Some(waiter)
    }

    fn account(&mut self, tenant: &Tenant) -> &mut Account<W> {
        let now = self.tick();
        self.tenants.entry(tenant.clone()).or_insert_with(|| Account {
            taken: 0,
            waiting: VecDeque::new(),
            since: now,
        })
    }

    fn forget(&mut self, tenant: &Tenant) {
        let is_idle = |account: &Account<W>| account.taken == 0 && account.waiting.is_empty();
        if self.tenants.get(tenant).is_some_and(is_idle) {
            self.tenants.remove(tenant);
        }
    }

    fn tick(&mut self) -> u64 {
        let now = self.clock;
        self.clock = now.wrapping_add(1);
        now
    }

    /// Tenants that anything is known of, places taken, and who waits.
    #[cfg(test)]
    pub(super) fn census(&self) -> (usize, usize, usize) {
        (self.tenants.len(), self.taken, self.waiting)
    }
}

#[cfg(test)]
mod tests;
