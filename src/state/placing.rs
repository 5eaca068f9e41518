//! A program that is replaced while it is being run, by a better one or by none at all.
//!
//! A program's file is never written to: whoever starts it meanwhile would get "Text file busy" or half of it. The new
//! one is a whole file beside it before it takes the name, and the former one keeps a second name until the new one has
//! shown that it runs. Copies are made in pieces: a program has megabytes, and who places it shall not.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::fault;
use super::files::{self, Durability};

/// Bytes of a piece.
const PIECE: usize = 64 * 1024;

/// Anybody may read and execute it, its owner may write.
const MODE: u32 = 0o755;

/// A program's place: its file, and the second name of the one that was there before.
#[derive(Clone, Debug)]
pub struct Place {
    file: PathBuf,
    previous: PathBuf,
}

/// A program that is complete and has not yet its name. It goes when this is dropped.
#[derive(Debug)]
pub struct Candidate {
    temporary: PathBuf,
}

impl Candidate {
    /// Where it lies, to be tried out.
    pub fn path(&self) -> &Path {
        &self.temporary
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // After a rename there is nothing; what cannot be removed is collected by the next who places.
        let _ = files::remove(&self.temporary);
    }
}

impl Place {
    /// The place of the program `name` in a directory.
    pub fn new(directory: &Path, name: &str) -> Self {
        Place { file: directory.join(name), previous: directory.join(format!(".{name}.previous")) }
    }

    /// The program's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The former one's second name.
    pub fn previous(&self) -> &Path {
        &self.previous
    }

    /// Whether the program is there with the very bytes of `source`, and may be executed.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn has(&self, source: &Path) -> Result<bool, Error> {
        let Some(mut there) = open(&self.file)? else { return Ok(false) };
        let mut wanted = File::open(source).map_err(Error::io("read", source))?;
        let metadata = |file: &File, path: &Path| file.metadata().map_err(Error::io("read", path));
        let found = metadata(&there, &self.file)?;
        if found.len() != metadata(&wanted, source)?.len() || found.permissions().mode() & 0o7777 != MODE {
            return Ok(false);
        }
        let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
        loop {
            let count = fill(&mut there, &mut one).map_err(Error::io("read", &self.file))?;
            let expected = fill(&mut wanted, &mut other).map_err(Error::io("read", source))?;
            if one.get(..count) != other.get(..expected) {
                return Ok(false);
            }
            if count == 0 {
                return Ok(true);
            }
        }
    }

    /// Whether a former one is kept: who placed the present one was killed before it had answered.
    pub fn has_previous(&self) -> bool {
        self.previous.symlink_metadata().is_ok()
    }

    /// Copies `source` beside the program, complete on the disk, executable.
    ///
    /// # Errors
    /// When it cannot be read or written: nothing is left then.
    pub fn prepare(&self, source: &Path) -> Result<Candidate, Error> {
        fault::step("plugin", "begin");
        let mut from = File::open(source).map_err(Error::io("read", source))?;
        let name = self.file.file_name().unwrap_or_default();
        let (temporary, mut to) = files::create_temporary(name, &self.file, Durability::Entry)?;
        let candidate = Candidate { temporary };
        fault::write("plugin").map_err(Error::io("write", &self.file))?;
        let mut piece = vec![0; PIECE];
        loop {
            let count = fill(&mut from, &mut piece).map_err(Error::io("read", source))?;
            let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
            to.write_all(read).map_err(Error::io("write", &self.file))?;
        }
        to.set_permissions(PermissionsExt::from_mode(MODE)).map_err(Error::io("write", &self.file))?;
        files::synchronise(&to).map_err(Error::io("synchronise", &self.file))?;
        fault::step("plugin", "written");
        Ok(candidate)
    }

    /// Gives the candidate the name; the former program keeps its second one. There is no moment without a program.
    ///
    /// # Errors
    /// When the system refuses: the former program is in place then.
    pub fn exchange(&self, candidate: Candidate) -> Result<(), Error> {
        files::remove(&self.previous)?;
        match std::fs::hard_link(&self.file, &self.previous) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("keep", &self.file)(error)),
        }
        fault::step("plugin", "kept");
        std::fs::rename(candidate.path(), &self.file).map_err(Error::io("replace", &self.file))?;
        fault::step("plugin", "renamed");
        files::sync_directory(files::directory_of(&self.file))?;
        fault::step("plugin", "synced");
        Ok(())
    }

    /// Gives the former program its name back; false when there is none.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn restore(&self) -> Result<bool, Error> {
        files::rename_durably(&self.previous, &self.file, "plugin-restore")
    }

    /// The program in place has answered: the former one goes.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn settle(&self) -> Result<(), Error> {
        files::remove(&self.previous)?;
        fault::step("plugin", "settled");
        Ok(())
    }

    /// Removes the temporary files that killed processes left for this program. Its lock must be held.
    ///
    /// # Errors
    /// When the directory cannot be listed, or one not be removed.
    pub fn collect(&self) -> Result<usize, Error> {
        let name = self.file.file_name().and_then(|name| name.to_str());
        files::collect_temporaries(files::directory_of(&self.file), name)
    }

    /// Removes the program and everything about it, durably. Processes that run it go on.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        self.collect()?;
        files::remove(&self.previous)?;
        files::remove_durably(&self.file, "plugin-remove")
    }
}

/// A regular file for reading; `None` when there is none.
fn open(path: &Path) -> Result<Option<File>, Error> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0_usize;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => count = count.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
