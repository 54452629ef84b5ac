//! seccomp: which system calls a worker may make. Those that are missing do not exist for it, so that the C library falls back
//! to older ones where it can.

use std::collections::BTreeMap;

use rustix::{
    ioctl::{Opcode, opcode},
    process::getpid,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// What reads and writes files, keeps time, and lets threads work together.
const ALLOWED: &[i64] = &[
    // Data.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_ftruncate,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    // Files. What may be opened is Landlock's to say, and how below.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_flock,
    libc::SYS_umask,
    // Memory.
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // Waiting.
    libc::SYS_pipe2,
    libc::SYS_pselect6,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    // Itself.
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_times,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// Older ways to call the same, which newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_select,
    libc::SYS_poll,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_signalfd,
    libc::SYS_time,
    libc::SYS_getrlimit,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// How files may be opened: the access mode, and `O_TRUNC` only where the file is opened to be written. Otherwise it would empty files
/// that may only be read, where Landlock does not know of truncation (before Linux 6.2), and the fourth access mode asks Landlock for
/// nothing at all.
const OPENED: &[i32] = &[
    libc::O_RDONLY,
    libc::O_WRONLY,
    libc::O_RDWR,
    libc::O_WRONLY | libc::O_TRUNC,
    libc::O_RDWR | libc::O_TRUNC,
];

/// What may be done to open files. Not among it: to have another process signalled about one (`F_SETOWN`).
const FILE_COMMANDS: &[i32] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
    libc::F_GETPIPE_SZ,
];

/// What may be asked of drivers and file systems; each only tells something. `qemu-img` would also set a hint of how to allocate
/// its new file (`FS_IOC_FSSETXATTR`), which the same call sets for files that may only be read, and does without.
const DRIVER_REQUESTS: &[Opcode] = &[
    // Whether it is a terminal; what a pipe holds.
    0x5401,
    0x541b,
    // `FS_IOC_FSGETXATTR`: a `struct fsxattr` of linux/fs.h.
    opcode::read::<[u32; 7]>(b'X', 31),
];

/// Only those are left, also for whatever program this process becomes.
///
/// # Errors
/// Why it does not hold.
pub(super) fn filter() -> Result<(), String> {
    let program = program().map_err(|error| error.to_string())?;
    apply_filter(&program).map_err(|error| error.to_string())
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED
        .iter()
        .chain(OLDER)
        .map(|call| (*call, Vec::new()))
        .collect();
    // Threads, but no processes. `clone3` hides its flags from filters: it does not exist.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(
        libc::SYS_clone,
        vec![argument(
            0,
            SeccompCmpArgLen::Qword,
            SeccompCmpOp::MaskedEq(thread),
            thread,
        )?],
    );
    // Holes. Space for the whole disk at once would be gone before anybody looks.
    let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    rules.insert(
        libc::SYS_fallocate,
        one_of(1, SeccompCmpOp::Eq, [hole.unsigned_abs()])?,
    );
    // Signals to itself: how `abort` ends it.
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    rules.insert(
        libc::SYS_tgkill,
        vec![argument(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?],
    );
    // Its own limits.
    rules.insert(
        libc::SYS_prlimit64,
        vec![argument(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 0)?],
    );
    // Names of threads, and of memory.
    let options = [
        libc::PR_SET_NAME,
        libc::PR_GET_NAME,
        libc::PR_SET_TIMERSLACK,
        libc::PR_SET_VMA,
    ];
    let options = options.map(i32::unsigned_abs);
    rules.insert(libc::SYS_prctl, one_of(0, SeccompCmpOp::Eq, options)?);
    let commands = FILE_COMMANDS.iter().map(|command| command.unsigned_abs());
    rules.insert(libc::SYS_fcntl, one_of(1, SeccompCmpOp::Eq, commands)?);
    let requests = DRIVER_REQUESTS.iter().copied();
    rules.insert(libc::SYS_ioctl, one_of(1, SeccompCmpOp::Eq, requests)?);
    let flags = u64::from((libc::O_ACCMODE | libc::O_TRUNC).unsigned_abs());
    let opened = |argument| {
        let modes = OPENED.iter().map(|mode| mode.unsigned_abs());
        one_of(argument, SeccompCmpOp::MaskedEq(flags), modes)
    };
    rules.insert(libc::SYS_openat, opened(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opened(1)?);
    let missing = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let filter = SeccompFilter::new(
        rules,
        missing,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    filter.try_into()
}

/// The argument, of 32 bits, is one of those.
fn one_of(
    index: u8,
    is: SeccompCmpOp,
    values: impl IntoIterator<Item = u32>,
) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rules = values.into_iter();
    rules
        .map(|value| argument(index, SeccompCmpArgLen::Dword, is.clone(), u64::from(value)))
        .collect()
}

fn argument(
    index: u8,
    length: SeccompCmpArgLen,
    is: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, length, is, value)?])
}
