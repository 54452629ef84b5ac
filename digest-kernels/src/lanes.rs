//! Which streams share registers, and for how long.

use crate::stream::Job;

/// Streams that one call of a kernel works on at most.
pub const MAX_LANES: usize = 16;

/// The states of streams side by side: of each word of the state, the lanes.
pub(crate) type WideState<W, const R: usize> = [[W; MAX_LANES]; R];

/// A kernel that works on several streams at once.
///
/// It hashes `blocks` whole blocks from each of the pointers.
pub(crate) type Run<W, const R: usize> =
    unsafe fn(state: &mut WideState<W, R>, data: &[*const u8; MAX_LANES], blocks: usize);

/// A kernel, and when it is the right one.
#[derive(Clone, Copy)]
pub(crate) struct Wide<W, const R: usize> {
    pub(crate) name: &'static str,
    /// How many lanes there are, at most [`MAX_LANES`].
    pub(crate) lanes: usize,
    /// From how many streams on it is faster than what comes after it in the list.
    pub(crate) least: usize,
    /// # Safety
    /// The processor has the features that it needs. Each of the first `lanes` pointers can be read for `blocks` blocks.
    pub(crate) run: Run<W, R>,
}

/// Hashes all whole blocks of all jobs. Longer ones go first, so that those that are left at the end are as many as can be.
pub(crate) fn run<W: Copy + Default, const R: usize, const B: usize>(
    jobs: &mut [Job<'_, W, R, B>],
    wides: &[Wide<W, R>],
    scalar: impl Fn(&mut [W; R], &[u8]),
) {
    loop {
        jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.blocks()));
        let active = jobs.iter().take_while(|job| job.blocks() > 0).count();
        let Some(wide) = wides.iter().find(|wide| wide.least <= active) else {
            for job in jobs.iter_mut().take(active) {
                let len = job.blocks() * B;
                let (whole, rest) = job.rest.split_at(len);
                scalar(&mut job.stream.state, whole);
                job.rest = rest;
            }
            return;
        };
        let together = active.min(wide.lanes);
        if let Some(group) = jobs.get_mut(..together) {
            side_by_side(group, wide);
        }
    }
}

/// Hashes of each of the jobs as many blocks as the shortest has. There is at least one, and they fit into the lanes.
fn side_by_side<W: Copy + Default, const R: usize, const B: usize>(
    jobs: &mut [Job<'_, W, R, B>],
    wide: &Wide<W, R>,
) {
    assert!(!jobs.is_empty() && jobs.len() <= wide.lanes && wide.lanes <= MAX_LANES);
    let blocks = jobs.iter().map(|job| job.blocks()).min().unwrap_or(0);
    let len = blocks * B;
    let mut state = [[W::default(); MAX_LANES]; R];
    // Lanes without a stream read what another reads, and what they make of it is dropped.
    let mut data = [std::ptr::null(); MAX_LANES];
    for (lane, (pointer, job)) in data.iter_mut().zip(jobs.iter().cycle()).enumerate() {
        assert!(job.rest.len() >= len);
        *pointer = job.rest.as_ptr();
        for (words, word) in state.iter_mut().zip(job.stream.state) {
            if let Some(place) = words.get_mut(lane) {
                *place = word;
            }
        }
    }
    // SAFETY: the table lists only kernels for which the features were detected. Each pointer is of a slice that was just
    // found to have `blocks` blocks and outlives the call.
    #[allow(unsafe_code)]
    unsafe {
        (wide.run)(&mut state, &data, blocks);
    }
    for (lane, job) in jobs.iter_mut().enumerate() {
        for (words, word) in state.iter().zip(&mut job.stream.state) {
            if let Some(value) = words.get(lane) {
                *word = *value;
            }
        }
        job.rest = job.rest.get(len..).unwrap_or_default();
    }
}
