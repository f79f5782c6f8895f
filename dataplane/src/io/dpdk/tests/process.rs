//! The EAL, worker threads and the clock.

use super::*;

#[test]
fn a_worker_thread_runs_on_its_core_wakes_on_time_and_is_registered_once() {
    let core = CoreId(*allowed_cores().last().unwrap());
    let worker = move || {
        let guard = WorkerThread::enter(eal(), Some(core)).unwrap();
        let again = WorkerThread::enter(eal(), Some(core)).unwrap_err();
        drop(guard);
        let cores = allowed_cores();
        // Linux shows it under /proc/<thread> only, not among a process's threads.
        let this = std::fs::read_link("/proc/thread-self").unwrap();
        let this = std::path::Path::new("/proc").join(this.file_name().unwrap());
        let slack = std::fs::read_to_string(this.join("timerslack_ns")).unwrap();
        assert_eq!(slack, "1\n");
        let anew = WorkerThread::enter(eal(), None).is_ok();
        (again, cores, anew)
    };

    let (again, cores, anew) = thread::spawn(worker).join().unwrap();

    assert_eq!(again, ThreadError::AlreadyRegistered);
    assert_eq!(cores, [core.0]);
    assert!(anew);
}

#[test]
fn a_core_that_is_not_there_is_named() {
    let enter = |core| {
        thread::spawn(move || WorkerThread::enter(eal(), Some(CoreId(core))).unwrap_err())
            .join()
            .unwrap()
            .to_string()
    };

    assert_eq!(enter(u16::MAX), "there is no core 65535");
    assert!(enter(1_023).starts_with("a worker cannot run on core 1023: "));
}

#[test]
fn starting_dpdk_leaves_the_caller_on_all_its_cores() {
    let before = thread::spawn(allowed_cores).join().unwrap();
    eal();
    let after = thread::spawn(allowed_cores).join().unwrap();

    assert_eq!(before, after);
    assert_eq!(before, allowed_cores());
}

#[test]
fn dpdk_starts_once_in_a_process_and_does_not_stop_under_its_users() {
    eal();

    assert_eq!(Eal::start(&config()).unwrap_err(), EalError::AlreadyStarted);
    assert_eq!(eal().clone().cleanup(), Err(EalError::StillInUse));
}

#[test]
fn a_setting_with_a_zero_byte_is_refused_before_dpdk_starts() {
    let config = EalConfig {
        file_prefix: "a\0b".to_owned(),
        ..config()
    };

    let error = Eal::start(&config).unwrap_err();

    assert!(matches!(error, EalError::ZeroByte { .. }), "{error}");
}

#[test]
fn the_clock_counts_nanoseconds_as_linux_does() {
    let clock = Clock::start(eal());
    // Linux's clock before and after each reading of ours: whoever is preempted in between has
    // only wider bounds.
    let read = || (Instant::now(), clock.nanos(), Instant::now());

    let first = read();
    thread::sleep(Duration::from_millis(50));
    let second = read();

    let ours = Duration::from_nanos(second.1 - first.1);
    let (least, most) = (second.0 - first.2, second.2 - first.0);
    assert!(
        ours >= least - least / 20 && ours <= most + most / 20,
        "{ours:?} is not within {least:?} and {most:?}"
    );
}
