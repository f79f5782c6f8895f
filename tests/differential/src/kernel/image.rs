//! Which kernel plays: the one `SLUICE_UML` names, or Debian's package.
//!
//! A kernel is asked what it is before it is booted: user-mode Linux prints its release and the
//! configuration it was built with.

use std::env;
use std::fmt;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};

/// The variable that names a kernel with virtual time.
const VARIABLE: &str = "SLUICE_UML";

/// Debian's package `user-mode-linux`.
const STOCK: &str = "/usr/bin/linux.uml";

/// Where that package keeps its modules, a folder for each release.
const MODULES: &str = "/usr/lib/uml/modules";

/// The program that plays inside.
const PLAYER: &str = "differential-player";

/// A user-mode Linux that can play scenarios.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub(super) program: PathBuf,
    pub(super) release: String,
    pub(super) virtual_time: bool,
    /// Where its modules are, when IPVS is one.
    pub(super) modules: Option<PathBuf>,
    pub(super) player: PathBuf,
}

/// Why there is no kernel to play with.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Nothing is installed and nothing is named.
    #[error("user-mode Linux is not installed: {STOCK} is missing, run scripts/setup --test")]
    Missing,
    /// It does not say what it is.
    #[error("{} does not run as user-mode Linux: {reason}", program.display())]
    NotAKernel {
        /// The file that was tried.
        program: PathBuf,
        /// What it said, or why it did not start.
        reason: String,
    },
    /// It was built without IPVS.
    #[error("{} was built without IPVS", .0.display())]
    WithoutIpvs(PathBuf),
    /// `SLUICE_UML` names a kernel whose time is real.
    #[error("{VARIABLE} names {}, which was built without virtual time", .0.display())]
    WithoutVirtualTime(PathBuf),
    /// IPVS is a module and the modules are elsewhere.
    #[error("the modules of release {release} are not in {MODULES}")]
    WithoutModules {
        /// The kernel's release.
        release: String,
    },
    /// The program that plays inside was not built.
    #[error("{PLAYER} is not beside {}: cargo build --package sluice-differential --bins", .0.display())]
    WithoutPlayer(PathBuf),
}

impl Kernel {
    /// Finds a kernel: the one `SLUICE_UML` names, which must then have virtual time, else
    /// Debian's.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot play.
    pub fn find() -> Result<Self, Unusable> {
        match env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
            Some(named) => {
                let kernel = Self::at(Path::new(&named))?;
                if kernel.virtual_time {
                    Ok(kernel)
                } else {
                    Err(Unusable::WithoutVirtualTime(kernel.program))
                }
            }
            None if Path::new(STOCK).exists() => Self::at(Path::new(STOCK)),
            None => Err(Unusable::Missing),
        }
    }

    /// The kernel in the file `program`.
    ///
    /// # Errors
    ///
    /// When it is no user-mode Linux, or cannot play.
    pub fn at(program: &Path) -> Result<Self, Unusable> {
        // Guests run elsewhere.
        let program = path::absolute(program).unwrap_or_else(|_| program.to_owned());
        let release = ask(&program, "--version")?.trim().to_owned();
        let built = Built(ask(&program, "--showconfig")?);
        let modules = match built.option("CONFIG_IP_VS") {
            Some("y") => None,
            Some("m") => Some(modules_of(&release)?),
            _ => return Err(Unusable::WithoutIpvs(program)),
        };
        Ok(Self {
            virtual_time: built.option("CONFIG_UML_TIME_TRAVEL_SUPPORT") == Some("y"),
            player: player()?,
            program,
            release,
            modules,
        })
    }

    /// The kernel's release, as `uname -r` says it: `6.1.176`.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Whether waiting costs nothing.
    #[must_use]
    pub const fn has_virtual_time(&self) -> bool {
        self.virtual_time
    }

    /// What to print about it: release, kind of time and file.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = if self.virtual_time { "virtual" } else { "real" };
        let program = self.program.display();
        write!(f, "Linux {} with {time} time ({program})", self.release)
    }
}

/// The configuration a kernel was built with.
struct Built(String);

impl Built {
    fn option(&self, name: &str) -> Option<&str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What `program` prints when it is asked about itself.
fn ask(program: &Path, question: &str) -> Result<String, Unusable> {
    let unusable = |reason: String| Unusable::NotAKernel {
        program: program.to_owned(),
        reason,
    };
    let answer = Command::new(program)
        .arg(question)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(error.to_string()))?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    if answer.status.success() && !text.trim().is_empty() {
        Ok(text)
    } else {
        Err(unusable(format!("{question} ended with {}", answer.status)))
    }
}

fn modules_of(release: &str) -> Result<PathBuf, Unusable> {
    if Path::new(MODULES).join(release).is_dir() {
        Ok(PathBuf::from(MODULES))
    } else {
        Err(Unusable::WithoutModules {
            release: release.to_owned(),
        })
    }
}

/// Cargo puts programs in one folder and tests in the folder `deps` of that.
fn player() -> Result<PathBuf, Unusable> {
    let here = env::current_exe().unwrap_or_default();
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(PLAYER))
        .find(|player| player.is_file())
        .ok_or(Unusable::WithoutPlayer(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_kernel_is_named_with_what_it_did() {
        let refused = Kernel::at(Path::new("/bin/false")).unwrap_err();

        let text = refused.to_string();
        assert!(text.starts_with("/bin/false does not run as user-mode Linux"));
        assert!(text.contains("--version ended with"), "{text}");
    }

    #[test]
    fn a_file_that_is_not_there_is_no_kernel() {
        let refused = Kernel::at(Path::new("/nowhere/linux")).unwrap_err();

        assert!(matches!(refused, Unusable::NotAKernel { .. }), "{refused}");
    }

    #[test]
    fn an_option_is_read_by_its_whole_name() {
        let built = Built("CONFIG_IP_VS_RR=y\n# CONFIG_VETH is not set\nCONFIG_IP_VS=m\n".into());

        assert_eq!(built.option("CONFIG_IP_VS"), Some("m"));
        assert_eq!(built.option("CONFIG_VETH"), None);
    }
}
