//! Why DPDK refused: its error number and the first thing it logged about it.

use std::{fmt, io};

use super::log;

/// Why DPDK refused: its error number and the first error it logged during the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// An errno value, positive. Many drivers return a plain -1 for any failure, so 1 (EPERM)
    /// says nothing.
    code: i32,
    said: Option<String>,
}

impl Cause {
    /// Runs a call into DPDK that returns 0 or more on success and a negative errno on failure.
    pub(super) fn check(call: impl FnOnce() -> i32) -> Result<i32, Self> {
        let (result, said) = log::listen(call);
        if result >= 0 {
            return Ok(result);
        }
        let code = result.saturating_neg();
        Err(Self { code, said })
    }

    /// Runs a call into DPDK that leaves its errno in `rte_errno` when it fails.
    pub(super) fn check_errno<T>(call: impl FnOnce() -> Option<T>) -> Result<T, Self> {
        let (result, said) = log::listen(call);
        result.ok_or_else(|| Self {
            // SAFETY: reads a number of this thread.
            code: unsafe { dpdk_sys::shim_errno() },
            said,
        })
    }

    /// The errno value, to tell apart the failures an operator can do something about.
    pub(super) const fn code(&self) -> i32 {
        self.code
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = (self.code > libc::EPERM).then(|| io::Error::from_raw_os_error(self.code));
        match (named, &self.said) {
            (Some(error), Some(said)) => write!(f, "{error}; DPDK says \"{said}\""),
            (Some(error), None) => error.fmt(f),
            (None, Some(said)) => write!(f, "DPDK says \"{said}\""),
            (None, None) => f.write_str("DPDK gives no reason"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_minus_one_is_not_taken_for_a_missing_permission() {
        let silent = Cause {
            code: 1,
            said: None,
        };
        let told = Cause {
            code: 1,
            said: Some("ioctl failed".to_owned()),
        };

        assert_eq!(silent.to_string(), "DPDK gives no reason");
        assert_eq!(told.to_string(), "DPDK says \"ioctl failed\"");
    }

    #[test]
    fn an_errno_is_named_in_words() {
        let cause = Cause::check(|| -libc::ENODEV);

        assert_eq!(
            cause.map_err(|cause| cause.to_string()),
            Err("No such device (os error 19)".to_owned())
        );
        assert_eq!(Cause::check(|| 3), Ok(3));
    }
}
