//! Huge pages for the time of a run.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel is told how many pages of 2 MiB to keep.
const COUNT: &str = "/proc/sys/vm/nr_hugepages";
const PAGE_MB: u64 = 2;

/// Pages this run has asked for; the count of before comes back when this is dropped.
#[derive(Debug)]
pub struct HugePages {
    file: PathBuf,
    before: u64,
}

impl HugePages {
    /// Asks for `megabytes` of huge pages that nobody uses. Whoever cannot have all of it gives
    /// back what there was.
    #[must_use]
    pub fn reserve(megabytes: u64) -> Option<Self> {
        let pages = Self {
            before: count(COUNT.as_ref())?,
            file: COUNT.into(),
        };
        top_up(megabytes).then_some(pages)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _refused = fs::write(&self.file, self.before.to_string());
    }
}

/// Asks for more when fewer than `megabytes` are free: any program of the machine may have taken
/// some of what was reserved. Says whether there are enough now.
#[must_use]
pub fn top_up(megabytes: u64) -> bool {
    let free = fs::read_to_string("/proc/meminfo").ok();
    let free = free.and_then(|text| free_in(&text));
    free.is_some_and(|free| top_up_in(COUNT.as_ref(), megabytes, free).is_some())
}

fn top_up_in(file: &Path, megabytes: u64, free: u64) -> Option<()> {
    let missing = megabytes.div_ceil(PAGE_MB).saturating_sub(free);
    if missing == 0 {
        return Some(());
    }
    let total = count(file)? + missing;
    fs::write(file, total.to_string()).ok()?;
    (count(file)? >= total).then_some(())
}

fn count(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Pages that nobody has or has been promised, from `/proc/meminfo`.
fn free_in(text: &str) -> Option<u64> {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse::<u64>().ok()
    };
    Some(of("HugePages_Free:")?.saturating_sub(of("HugePages_Rsvd:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_and_the_count_of_before_comes_back() {
        let file = std::env::temp_dir().join(format!("huge-{}", std::process::id()));
        fs::write(&file, "7\n").unwrap();
        let pages = HugePages {
            before: count(&file).unwrap(),
            file: file.clone(),
        };

        // Two of the seven are free, and 20 MB need ten.
        assert!(top_up_in(&file, 20, 2).is_some());

        assert_eq!(count(&file), Some(15));
        drop(pages);
        assert_eq!(count(&file), Some(7));
        fs::remove_file(file).unwrap();
    }

    #[test]
    fn enough_free_pages_are_left_as_they_are() {
        let missing = Path::new("/nonexistent");

        assert!(top_up_in(missing, 20, 10).is_some());
        assert!(top_up_in(missing, 20, 9).is_none());
    }

    #[test]
    fn free_pages_are_read_from_meminfo() {
        let text = "AnonHugePages: 0 kB\nHugePages_Total:  9\nHugePages_Free:      4\n\
                    HugePages_Rsvd:  1\n";

        assert_eq!(free_in(text), Some(3));
        assert_eq!(free_in("MemTotal: 1 kB\n"), None);
    }
}
