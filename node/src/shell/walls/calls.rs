//! Seccomp: which system calls no process of the node makes, so that code that got into one cannot either.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::Wall;

/// Looking into other processes, changing the machine, and ways around the other walls: io_uring opens sockets and
/// files without a call that could be filtered, and a program in memory has no path that landlock could refuse.
const FORBIDDEN: [i64; 43] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_syslog,
];

/// What gives a path's file to others: landlock says nothing about it, and no process changes its own files so.
/// `fchmod` stays, for a process has opened what it changes.
const OWNERS_AND_RIGHTS: [i64; 10] = [
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    SETXATTRAT,
    REMOVEXATTRAT,
    FILE_SETATTR,
];
#[cfg(target_arch = "x86_64")]
const OWNERS_AND_RIGHTS_HERE: [i64; 3] = [libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown];
#[cfg(not(target_arch = "x86_64"))]
const OWNERS_AND_RIGHTS_HERE: [i64; 0] = [];

/// In the x32 form of a call the number has this bit; a filter sees both.
#[cfg(target_arch = "x86_64")]
const OTHER_FORM: i64 = 0x4000_0000;
/// `kexec_file_load`, and what `ptrace`, `process_vm_*` and `kexec_load` are called in the x32 form.
#[cfg(target_arch = "x86_64")]
const FORBIDDEN_HERE: [i64; 8] = [
    320,
    OTHER_FORM | 520,
    OTHER_FORM | 521,
    OTHER_FORM | 528,
    OTHER_FORM | 539,
    OTHER_FORM | 540,
    OTHER_FORM | 545,
    OTHER_FORM | 320,
];
/// `kexec_file_load`.
#[cfg(target_arch = "aarch64")]
const FORBIDDEN_HERE: [i64; 1] = [294];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FORBIDDEN_HERE: [i64; 0] = [];

/// Calls that have one number everywhere.
const FCHMODAT2: i64 = 452;
const SETXATTRAT: i64 = 463;
const REMOVEXATTRAT: i64 = 466;
const FILE_SETATTR: i64 = 469;
/// What ends or slows down another process without a signal, and which argument names it: no process says so of another one.
const OF_OTHERS: [(i64, u8); 5] = [
    (libc::SYS_prlimit64, 0),
    (libc::SYS_sched_setaffinity, 0),
    (libc::SYS_sched_setparam, 0),
    (libc::SYS_sched_setscheduler, 0),
    (libc::SYS_sched_setattr, 0),
];
/// The same by kind and number: `PRIO_PROCESS` and `IOPRIO_WHO_PROCESS` are this process, where the number is none.
const OF_KINDS: [(i64, u64); 2] = [(libc::SYS_setpriority, 0), (libc::SYS_ioprio_set, 1)];
/// What would go around the filter that a program of the person's choice gets.
const AROUND: [i64; 3] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];
/// Writes into a terminal's input, as if the person had typed it.
const TERMINAL_INPUT: [u64; 2] = [0x5412, 0x541c];
const SET_ID_BITS: [u64; 2] = [0o4000, 0o2000];

/// Filters the calling thread; whether the filter is in force.
pub(super) fn restrict(wall: &Wall) -> bool {
    apply(wall).inspect_err(|error| tracing::debug!(%error, "no filter of system calls")).is_ok()
}

/// Filters the calling thread, and the program that it becomes: what landlock says nothing about, save rights and owners where
/// it may change them. What else a program of the person's choice needs nobody knows.
pub(super) fn restrict_program(changes_rights: bool) -> bool {
    let filter = of_program(changes_rights).and_then(filter).and_then(|filter| seccompiler::apply_filter(&filter));
    filter.inspect_err(|error| tracing::debug!(%error, "no filter of system calls")).is_ok()
}

/// Whether a filter can be put up. Filters the calling thread.
pub(super) fn can_stand() -> bool {
    apply(&Wall::Reviewer).is_ok()
}

fn apply(wall: &Wall) -> Result<(), Error> {
    seccompiler::apply_filter(&program(wall)?)
}

fn program(wall: &Wall) -> Result<BpfProgram, Error> {
    filter(rules(wall)?)
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>) -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?;
    Ok(filter.try_into()?)
}

fn of_program(changes_rights: bool) -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let rights = OWNERS_AND_RIGHTS.into_iter().chain(OWNERS_AND_RIGHTS_HERE).filter(|_| !changes_rights);
    let mut rules = forbidden(rights.chain(AROUND))?;
    in_both_forms(&mut rules);
    Ok(rules)
}

/// These calls, and those that reach other processes, or the terminal's input.
fn forbidden(calls: impl IntoIterator<Item = i64>) -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.into_iter().map(|call| (call, Vec::new())).collect();
    for (call, at) in OF_OTHERS {
        rules.insert(call, vec![is_not(at, 0)?]);
    }
    for (call, process) in OF_KINDS {
        rules.insert(call, vec![is_not(0, process)?, is_not(1, 0)?]);
    }
    let typed = |request| SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, request)?]);
    rules.insert(libc::SYS_ioctl, TERMINAL_INPUT.into_iter().map(typed).collect::<Result<_, _>>()?);
    Ok(rules)
}

fn is_not(at: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(at, SeccompCmpOp::Ne, value)?])
}

fn in_both_forms(rules: &mut BTreeMap<i64, Vec<SeccompRule>>) {
    #[cfg(target_arch = "x86_64")]
    for (call, rule) in rules.clone() {
        rules.insert(call | OTHER_FORM, rule);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = rules;
}

fn rules(wall: &Wall) -> Result<BTreeMap<i64, Vec<SeccompRule>>, Error> {
    let rights = OWNERS_AND_RIGHTS.into_iter().chain(OWNERS_AND_RIGHTS_HERE);
    let mut rules = forbidden(rights.chain(FORBIDDEN).chain(FORBIDDEN_HERE))?;
    let allowed = families(wall);
    let sockets = if allowed.is_empty() { Vec::new() } else { vec![other_than(0, allowed)?] };
    rules.insert(libc::SYS_socket, sockets);
    for (call, at) in mode_arguments() {
        let rule = |bit| SeccompRule::new(vec![condition(at, SeccompCmpOp::MaskedEq(bit), bit)?]);
        rules.insert(call, SET_ID_BITS.into_iter().map(rule).collect::<Result<_, _>>()?);
    }
    in_both_forms(&mut rules);
    Ok(rules)
}

/// The kinds of sockets that a process opens. A name is looked up, and an interface noticed, over netlink.
const fn families(wall: &Wall) -> &'static [i32] {
    match wall {
        Wall::Mesh { .. } | Wall::Executor { .. } | Wall::Pairing => {
            &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK]
        }
        Wall::Reviewer | Wall::Owner => &[libc::AF_UNIX],
        Wall::Decoder => &[],
    }
}

/// Calls that give a file its mode, and which argument the mode is.
fn mode_arguments() -> Vec<(i64, u8)> {
    let mut calls = vec![(libc::SYS_fchmod, 1), (libc::SYS_openat, 3), (libc::SYS_mkdirat, 2), (libc::SYS_mknodat, 2)];
    #[cfg(target_arch = "x86_64")]
    calls.extend([(libc::SYS_open, 2), (libc::SYS_creat, 1), (libc::SYS_mkdir, 1), (libc::SYS_mknod, 1)]);
    calls
}

fn other_than(at: u8, allowed: &[i32]) -> Result<SeccompRule, seccompiler::BackendError> {
    let is_not = |value: &i32| condition(at, SeccompCmpOp::Ne, u64::from(value.cast_unsigned()));
    SeccompRule::new(allowed.iter().map(is_not).collect::<Result<_, _>>()?)
}

fn condition(at: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(at, SeccompCmpArgLen::Dword, operator, value)
}
