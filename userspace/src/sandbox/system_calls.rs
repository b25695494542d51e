//! Which system calls can be made: seccomp (Documentation/userspace-api/seccomp_filter.rst).
//!
//! All that is not listed fails with EPERM, in every thread, from the moment at which we are ready.
//! A call that is allowed whatever its arguments costs next to nothing: the kernel remembers it
//! (5.11, `seccomp_cache_check_allow`).

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

/// What the program does from its start to its end: datagrams and connections, files that it may
/// open, memory, threads, time.
const ALWAYS: &[libc::c_long] = &[
    // Sockets, and what waits for them.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // Files.
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_ioctl,
    libc::SYS_lseek,
    libc::SYS_memfd_create, // what is too long for a datagram to the journal
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory; mmap and mprotect are below.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mremap,
    libc::SYS_munlock,
    libc::SYS_munmap,
    // Threads, which may give up capabilities, and signals; clone and prctl are below.
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_tgkill,
    libc::SYS_uname,
    // Time.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_times,
];

/// The older forms that this architecture has kept.
#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getdents,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[libc::c_long] = &[];

/// What starting a program takes, and what a shell and the usual small programs do then.
const PROGRAMS: &[libc::c_long] = &[
    libc::SYS_chdir,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fadvise64,
    libc::SYS_fchdir,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getsid,
    libc::SYS_kill,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_set_tid_address,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_umask,
    libc::SYS_wait4,
    libc::SYS_waitid,
];
#[cfg(target_arch = "x86_64")]
const PROGRAMS_HERE: &[libc::c_long] = &[
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_fork,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_mkdir,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const PROGRAMS_HERE: &[libc::c_long] = &[];

/// Kinds of sockets that are opened while we run.
const FAMILIES: [libc::c_int; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK];

/// A thread in namespaces of its own.
const NEW_NAMESPACES: libc::c_int = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

/// What prctl is asked for when threads are named, and memory.
const PRCTL: [libc::c_int; 3] = [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA];

/// What else is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extras {
    /// BPF programs and `AF_XDP` sockets.
    pub(super) xdp: bool,
    /// Other programs.
    pub(super) programs: bool,
}

/// Takes every other system call from all threads of the process, for ever; how many are left.
pub(super) fn restrict(extras: Extras) -> Result<usize, seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let rules = rules(extras)?;
    let count = rules.len();
    let (fails, allowed) = (SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow);
    let listed = SeccompFilter::new(rules, fails, allowed.clone(), arch)?;
    // Its flags are in memory, where no filter can look. The C library takes clone instead.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
    let without_clone3 = SeccompFilter::new(clone3, allowed, unknown, arch)?;
    for filter in [without_clone3, listed] {
        let program: BpfProgram = filter.try_into()?;
        apply_filter_all_threads(&program)?;
    }
    Ok(count)
}

/// What is allowed, by number; without rules whatever the arguments.
fn rules(extras: Extras) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut lists = vec![ALWAYS, ALWAYS_HERE];
    if extras.programs {
        lists.extend([PROGRAMS, PROGRAMS_HERE]);
    }
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        lists.concat().into_iter().map(|number| (number, Vec::new())).collect();
    // For the other filter, which has the last word.
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.insert(libc::SYS_clone, vec![has_none_of(0, NEW_NAMESPACES as u32)?]);
    let mut families = FAMILIES.to_vec();
    if extras.xdp {
        rules.insert(libc::SYS_bpf, Vec::new());
        families.push(libc::AF_XDP);
    }
    let of_argument = |values: &[libc::c_int]| -> Result<Vec<SeccompRule>, BackendError> {
        values.iter().map(|value| is(0, *value as u64)).collect()
    };
    rules.insert(libc::SYS_socket, of_argument(&families)?);
    let prctl = if extras.programs { Vec::new() } else { of_argument(&PRCTL)? };
    rules.insert(libc::SYS_prctl, prctl);
    // Memory that can be executed: only a program that is being started needs more of it.
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        let data_only = vec![has_none_of(2, libc::PROT_EXEC as u32)?];
        rules.insert(number, if extras.programs { Vec::new() } else { data_only });
    }
    Ok(rules)
}

/// An argument has this value.
fn is(argument: u8, value: u64) -> Result<SeccompRule, BackendError> {
    condition(argument, SeccompCmpOp::Eq, value)
}

/// None of these bits is set in an argument.
fn has_none_of(argument: u8, bits: u32) -> Result<SeccompRule, BackendError> {
    condition(argument, SeccompCmpOp::MaskedEq(bits.into()), 0)
}

fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    // The kernel looks at 32 bits of these arguments, too.
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_not_allowed() {
        let rules = rules(Extras::default()).unwrap();
        let forbidden = [
            libc::SYS_bpf,
            libc::SYS_chroot,
            libc::SYS_execve,
            libc::SYS_io_uring_setup,
            libc::SYS_kill,
            libc::SYS_mount,
            libc::SYS_open_by_handle_at,
            libc::SYS_perf_event_open,
            libc::SYS_process_vm_readv,
            libc::SYS_ptrace,
            libc::SYS_setns,
            libc::SYS_setuid,
            libc::SYS_unshare,
            libc::SYS_userfaultfd,
        ];
        assert!(forbidden.iter().all(|number| !rules.contains_key(number)));
        assert_eq!(rules[&libc::SYS_socket].len(), FAMILIES.len());
    }

    #[test]
    fn xdp_and_programs_add_what_they_need_and_no_more() {
        let allowed = |extras| rules(extras).unwrap();
        let (none, xdp) = (Extras::default(), Extras { xdp: true, ..Extras::default() });
        assert_eq!(allowed(xdp).len(), allowed(none).len() + 1);
        let programs = allowed(Extras { programs: true, ..none });
        assert!(programs.contains_key(&libc::SYS_execve));
        assert!(!programs.contains_key(&libc::SYS_bpf) && !programs.contains_key(&libc::SYS_mount));
    }
}
