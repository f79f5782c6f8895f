//! Starts DPDK's environment abstraction layer, which owns memory, devices and threads.
//!
//! It can be started once in the life of a process. No NIC is named on its command line: ethdevs
//! are added afterwards, one by one, because a device that fails during the start is only a line
//! in a log. Nothing is left in the file system: memory is anonymous, and neither the telemetry
//! socket nor the shared configuration exists.

use std::ffi::{CString, c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, path::Path, ptr, thread};

use dpdk_sys as sys;

use super::cause::Cause;
use super::log::{self, LogLevel, LogSink};
use super::text;
use crate::id::CoreId;

/// Where packet buffers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// In huge pages, without a mount and without files.
    HugePages {
        /// Mebibytes taken at the start; `None` takes them as they are needed.
        megabytes: Option<u32>,
    },
    /// In ordinary pages: slower, works everywhere, but no physical NIC can read it.
    NoHuge {
        /// Mebibytes taken at the start; there will never be more.
        megabytes: u32,
    },
}

/// What the EAL is started with.
#[derive(Clone, Debug)]
pub struct EalConfig {
    /// Where packet buffers lie.
    pub memory: Memory,
    /// PCI devices DPDK may touch, as `0000:3b:00.0`; with none it leaves PCI alone.
    pub pci_devices: Vec<String>,
    /// Keeps several DPDK processes on one machine apart.
    pub file_prefix: String,
    /// The core of the EAL's own threads; workers pin themselves.
    pub main_core: CoreId,
    /// The least grave lines of DPDK's log that are of interest.
    pub log_level: LogLevel,
    /// Takes DPDK's log.
    pub log_sink: LogSink,
}

impl Default for EalConfig {
    /// Huge pages, no PCI, core 0, and a log nobody reads.
    fn default() -> Self {
        Self {
            memory: Memory::HugePages { megabytes: None },
            pci_devices: Vec::new(),
            file_prefix: "sluice".to_owned(),
            main_core: CoreId(0),
            log_level: LogLevel::Notice,
            log_sink: |_, _| {},
        }
    }
}

/// Why the EAL did not start or stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EalError {
    /// It runs, or has run, in this process.
    #[error("DPDK was already started in this process; start a new process instead")]
    AlreadyStarted,
    /// The kernel has no huge page to give.
    #[error(
        "no huge pages are free: reserve some (echo 512 > \
         /proc/sys/vm/nr_hugepages) or configure memory without huge pages"
    )]
    NoHugePages,
    /// The kernel has fewer huge pages than asked for.
    #[error("only {free} MB of huge pages are free, but {asked} MB are configured")]
    TooFewHugePages {
        /// Mebibytes asked for.
        asked: u32,
        /// Mebibytes free.
        free: u64,
    },
    /// There is not enough memory.
    #[error("there is not enough memory for DPDK: {0}")]
    NotEnoughMemory(Cause),
    /// A setting holds a zero byte.
    #[error("the DPDK setting {setting:?} contains a zero byte")]
    ZeroByte {
        /// The argument it was to become.
        setting: String,
    },
    /// DPDK does not accept its arguments.
    #[error("DPDK does not accept \"{arguments}\": {cause}")]
    BadArguments {
        /// The arguments, joined by spaces.
        arguments: String,
        /// What DPDK says.
        cause: Cause,
    },
    /// It failed in another way.
    #[error("DPDK does not start: {0}")]
    Failed(Cause),
    /// No thread could be started.
    #[error("DPDK needs a thread to start on, and there is none: {0}")]
    NoThread(String),
    /// An ethdev, pool or worker thread still needs it.
    #[error("DPDK is still in use by an ethdev, a mempool, a packet or a worker thread")]
    StillInUse,
    /// Stopping failed.
    #[error("DPDK does not stop cleanly: {0}")]
    CleanupFailed(Cause),
}

/// The EAL's argument list, from the program name on.
///
/// The calling process stays out of DPDK's way in every mode: no telemetry socket, no shared
/// configuration file, and a single core of its own.
#[must_use]
pub fn arguments(config: &EalConfig) -> Vec<String> {
    let mut list = vec!["sluice".to_owned()];
    match config.memory {
        Memory::HugePages { megabytes } => {
            // Implies --no-shconf, and unlike a hugetlbfs mount leaves nothing after kill -9.
            list.push("--in-memory".to_owned());
            if let Some(megabytes) = megabytes {
                list.extend(["-m".to_owned(), megabytes.to_string()]);
            }
        }
        Memory::NoHuge { megabytes } => {
            list.extend(["--no-huge", "--no-shconf", "-m"].map(str::to_owned));
            list.push(megabytes.to_string());
        }
    }
    if config.pci_devices.is_empty() {
        list.push("--no-pci".to_owned());
    }
    for device in &config.pci_devices {
        list.extend(["-a".to_owned(), device.clone()]);
    }
    list.push("--no-telemetry".to_owned());
    list.push(format!("--file-prefix={}", config.file_prefix));
    // DPDK numbers at most 128 lcores; mapping its number 0 to the core allows any core.
    list.push(format!("--lcores=0@{}", config.main_core));
    list.push(format!("--log-level={}", config.log_level.name()));
    list
}

/// Proof that the EAL runs; clones are the same EAL.
#[derive(Clone, Debug)]
pub struct Eal {
    /// Held by everything that would dangle without the EAL, so that `cleanup` can tell.
    users: Arc<()>,
}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts the EAL; takes about 0.2 s.
    ///
    /// # Errors
    /// Whatever [`EalError`] names but the last two. After [`EalError::NoHugePages`] and
    /// [`EalError::TooFewHugePages`] it may be called again with another configuration, after
    /// any other the process must end.
    pub fn start(config: &EalConfig) -> Result<Self, EalError> {
        if let Memory::HugePages { megabytes } = config.memory {
            check_huge_pages(
                megabytes,
                free_huge_megabytes(Path::new("/sys/kernel/mm/hugepages")),
            )?;
        }
        let arguments = arguments(config);
        let c_arguments = to_c(&arguments)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        let sink = config.log_sink;
        // The EAL pins the thread it starts on, and each thread that one starts later inherits
        // the single CPU. So it gets a thread of its own, which ends here.
        thread::Builder::new()
            .name("eal-start".to_owned())
            .spawn(move || initialise(c_arguments, sink))
            .map_err(|error| EalError::NoThread(error.to_string()))?
            .join()
            .map_err(|_| EalError::NoThread("it panicked".to_owned()))?
            .map_err(|cause| explain(cause, &arguments))?;
        Ok(Self {
            users: Arc::new(()),
        })
    }

    /// Gives back all memory of DPDK. It cannot be started again in this process.
    ///
    /// # Errors
    /// [`EalError::StillInUse`] while ethdevs, mempools, packets or worker threads exist;
    /// [`EalError::CleanupFailed`] when DPDK complains.
    pub fn cleanup(self) -> Result<(), EalError> {
        Arc::try_unwrap(self.users).map_err(|_| EalError::StillInUse)?;
        // SAFETY: ethdevs, mempools and registered threads hold a clone of `users`, and a
        // mempool with packets outside never gives its clone back: nothing points into DPDK.
        Cause::check(|| unsafe { sys::rte_eal_cleanup() })
            .map(|_| ())
            .map_err(EalError::CleanupFailed)
    }
}

fn to_c(arguments: &[String]) -> Result<Vec<CString>, EalError> {
    arguments
        .iter()
        .map(|text| {
            CString::new(text.as_str()).map_err(|_| EalError::ZeroByte {
                setting: text.clone(),
            })
        })
        .collect()
}

fn initialise(arguments: Vec<CString>, sink: LogSink) -> Result<(), Cause> {
    log::redirect(sink);
    // The EAL keeps pointers to some arguments and reorders the list, so both are given away.
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
    pointers.push(ptr::null_mut());
    let list = Vec::leak(pointers).as_mut_ptr();
    Cause::check_errno(|| {
        // SAFETY: `count` C strings followed by a null, none of which is ever freed.
        let result = unsafe { sys::rte_eal_init(count, list) };
        (result >= 0).then_some(())
    })?;
    remove_runtime_directory();
    Ok(())
}

/// The EAL makes a directory for its files even when it makes no files.
fn remove_runtime_directory() {
    // SAFETY: the EAL has started, so the name is set.
    let name = text(unsafe { sys::rte_eal_get_runtime_dir() });
    // Never one with files in it: another process of the same prefix may share their directory.
    let _ = fs::remove_dir(name);
}

fn explain(cause: Cause, arguments: &[String]) -> EalError {
    match cause.code() {
        libc::EALREADY => EalError::AlreadyStarted,
        libc::ENOMEM => EalError::NotEnoughMemory(cause),
        libc::EINVAL => EalError::BadArguments {
            arguments: arguments.join(" "),
            cause,
        },
        _ => EalError::Failed(cause),
    }
}

fn check_huge_pages(asked: Option<u32>, free: u64) -> Result<(), EalError> {
    if free == 0 {
        return Err(EalError::NoHugePages);
    }
    match asked {
        Some(asked) if u64::from(asked) > free => Err(EalError::TooFewHugePages { asked, free }),
        _ => Ok(()),
    }
}

/// Adds up the free huge pages of every size, in mebibytes; what cannot be read counts as none.
///
/// `root` holds a directory `hugepages-<KiB>kB` for each size, as the kernel's documentation of
/// hugetlbpage describes.
fn free_huge_megabytes(root: &Path) -> u64 {
    let Ok(sizes) = fs::read_dir(root) else {
        return 0;
    };
    sizes
        .flatten()
        .filter_map(|size| {
            let name = size.file_name().into_string().ok()?;
            let kibibytes = name.strip_prefix("hugepages-")?.strip_suffix("kB")?;
            let free = fs::read_to_string(size.path().join("free_hugepages")).ok()?;
            Some(kibibytes.parse::<u64>().ok()? * free.trim().parse::<u64>().ok()? / 1_024)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_used_in_memory_so_that_no_file_stays() {
        let config = EalConfig {
            memory: Memory::HugePages {
                megabytes: Some(512),
            },
            pci_devices: vec!["0000:3b:00.0".to_owned(), "0000:3b:00.1".to_owned()],
            main_core: CoreId(200),
            ..EalConfig::default()
        };

        assert_eq!(
            arguments(&config).join(" "),
            "sluice --in-memory -m 512 -a 0000:3b:00.0 -a 0000:3b:00.1 --no-telemetry \
             --file-prefix=sluice --lcores=0@200 --log-level=notice"
        );
    }

    #[test]
    fn without_huge_pages_the_shared_configuration_is_off_by_name() {
        let config = EalConfig {
            memory: Memory::NoHuge { megabytes: 64 },
            file_prefix: "demo".to_owned(),
            log_level: LogLevel::Error,
            ..EalConfig::default()
        };

        assert_eq!(
            arguments(&config).join(" "),
            "sluice --no-huge --no-shconf -m 64 --no-pci --no-telemetry --file-prefix=demo \
             --lcores=0@0 --log-level=error"
        );
    }

    #[test]
    fn free_huge_pages_of_all_sizes_are_added_up() {
        let root = std::env::temp_dir().join(format!("sluice-hugepages-{}", std::process::id()));
        for (size, free) in [("2048kB", "8\n"), ("1048576kB", "1\n"), ("64kB", "none\n")] {
            let directory = root.join(format!("hugepages-{size}"));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("free_hugepages"), free).unwrap();
        }

        let megabytes = free_huge_megabytes(&root);

        fs::remove_dir_all(&root).unwrap();
        assert_eq!(megabytes, 16 + 1_024);
        assert_eq!(free_huge_megabytes(&root), 0);
    }

    #[test]
    fn missing_huge_pages_are_told_before_dpdk_starts() {
        assert_eq!(check_huge_pages(None, 0), Err(EalError::NoHugePages));
        assert_eq!(check_huge_pages(Some(64), 64), Ok(()));
        assert_eq!(
            check_huge_pages(Some(64), 62).unwrap_err().to_string(),
            "only 62 MB of huge pages are free, but 64 MB are configured"
        );
        assert!(
            EalError::NoHugePages
                .to_string()
                .starts_with("no huge pages are free: ")
        );
    }
}
