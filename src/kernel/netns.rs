//! Network namespaces and their identity.
//!
//! A path says little about a namespace: runtimes reuse paths, leave regular files behind, and `/proc/PID/ns/net` is
//! whatever that process is in now. So a namespace is opened once, identified by what the kernel never gives twice,
//! and used by its descriptor from then on.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

pub use super::error::Error;

/// The namespace of the thread that asks. The plugin has one thread, so it is the process's, too.
const OWN: &str = "/proc/thread-self/ns/net";

/// The magic number of nsfs, the file system of which every namespace is a file.
const NSFS_MAGIC: u32 = libc::NSFS_MAGIC as u32;

/// Which network namespace it is, whatever its path. Compare with [`Identity::is`].
///
/// The cookie is SO_NETNS_COOKIE (Linux 5.14), a counter that never repeats until a reboot. The inode number of the
/// nsfs file is reused, but differs between any two namespaces that exist at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// SO_NETNS_COOKIE; None before Linux 5.14.
    pub cookie: Option<u64>,
    /// Inode of the nsfs file.
    pub inode: u64,
}

impl Identity {
    /// Whether both are the same namespace: by cookie and inode if both have a cookie, by inode otherwise.
    ///
    /// The inode is compared even when the cookies agree: it costs nothing, a namespace keeps both for its life, and
    /// an identity that was written before a reboot meets cookies that start from one again.
    pub fn is(&self, other: &Identity) -> bool {
        let cookies_agree = match (self.cookie, other.cookie) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        };
        cookies_agree && self.inode == other.inode
    }
}

/// An open network namespace. It exists for as long as this value does, even when its path and its processes are gone.
#[derive(Debug)]
pub struct Netns {
    file: File,
    identity: Identity,
    path: PathBuf,
}

impl Netns {
    /// Opens the namespace at `path`, and reads its identity (which needs CAP_SYS_ADMIN).
    ///
    /// None when there is no such path, or when it is no network namespace: a regular file that `ip netns` or a
    /// runtime left, or a namespace of another kind.
    ///
    /// # Errors
    /// When the path may not be opened, or the namespace not entered.
    pub fn open(path: &Path) -> Result<Option<Netns>, Error> {
        let failed = |operation| move |source| Error::Namespace { operation, path: path.to_owned(), source };
        // O_NONBLOCK: the path may be a FIFO, and nobody may ever open its other end.
        let opened =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC).open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if names_nothing(&error) => return Ok(None),
            Err(error) => return Err(failed("open")(error)),
        };
        if !is_network_namespace(&file).map_err(failed("examine"))? {
            return Ok(None);
        }
        let inode = file.metadata().map_err(failed("examine"))?.ino();
        let cookie = run_inside(&file, path, own_cookie)?.map_err(failed("identify"))?;
        Ok(Some(Netns { file, identity: Identity { cookie, inode }, path: path.to_owned() }))
    }

    /// This process's own (the calling thread's): the host's, for a plugin.
    ///
    /// # Errors
    /// When there is no /proc, or no socket can be made.
    pub fn own() -> Result<Netns, Error> {
        let path = Path::new(OWN);
        let failed = |operation| move |source| Error::Namespace { operation, path: path.to_owned(), source };
        let file = File::open(path).map_err(failed("open"))?;
        let inode = file.metadata().map_err(failed("examine"))?.ino();
        let cookie = own_cookie().map_err(failed("identify"))?;
        Ok(Netns { file, identity: Identity { cookie, inode }, path: path.to_owned() })
    }

    /// Which one it is, whatever its path. Read when it was opened.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The path by which it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the one this process runs in (the host's).
    ///
    /// # Errors
    /// As [`Self::own`].
    pub fn is_own(&self) -> Result<bool, Error> {
        Ok(self.identity.is(&Netns::own()?.identity))
    }

    /// Runs `work` inside, and comes back.
    ///
    /// Only this thread is inside. `work` should do no more than make a socket: a file or a process opened there is
    /// the pod's, and a thread started there stays there. The process **aborts when it cannot come back**: whatever it
    /// did next on "the host" would be done to a pod. That needs no care by the caller, also when `work` panics.
    ///
    /// # Errors
    /// When the way back cannot be remembered, or the namespace not be entered; `work` is not run then.
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> Result<T, Error> {
        run_inside(&self.file, &self.path, work)
    }
}

impl AsFd for Netns {
    /// Its descriptor, by which a request on a netlink socket of another namespace names it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether a process is in this namespace, whatever paths lead there: the caller may not see the runtime's mounts. Looks
/// at every process; one that cannot be examined counts.
pub fn is_inhabited(identity: &Identity) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|process| process.path().join("ns/net")).any(|path| {
        std::fs::metadata(&path).is_ok_and(|file| file.ino() == identity.inode)
            && match Netns::open(&path) {
                Ok(netns) => netns.is_some_and(|netns| netns.identity().is(identity)),
                Err(_) => true,
            }
    })
}

/// Errors of open(2) that say that there is nothing at this path which could be a namespace. The last three: a loop of
/// symbolic links, a socket or a FIFO, a path that no file can have.
fn names_nothing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENXIO | libc::ENAMETOOLONG))
        || error.kind() == io::ErrorKind::InvalidInput
}

/// Whether an open file is a namespace, and one of networks.
fn is_network_namespace(file: &File) -> io::Result<bool> {
    let file_system = nix::sys::statfs::fstatfs(file)?.filesystem_type();
    // The type's width and sign differ between C libraries; the magic numbers have 32 bits on all of them.
    if file_system.0 as u32 != NSFS_MAGIC {
        return Ok(false);
    }
    Ok(namespace_type(file.as_fd())? == libc::CLONE_NEWNET)
}

thread_local! {
    /// The namespace that this thread belongs to: opened once, since a thread leaves it only by [`Netns::inside`], and
    /// always comes back.
    static HOME: OnceCell<File> = const { OnceCell::new() };
}

/// Comes back to the thread's own namespace when dropped, also by a panic.
struct Return<'a>(&'a File);

impl Drop for Return<'_> {
    fn drop(&mut self) {
        if setns(self.0, CloneFlags::CLONE_NEWNET).is_err() {
            // Nothing that this process could still do would be done where its caller believes. The journal says what
            // there is to undo.
            std::process::abort();
        }
    }
}

fn run_inside<T>(file: &File, path: &Path, work: impl FnOnce() -> T) -> Result<T, Error> {
    let failed =
        |operation| move |error: io::Error| Error::Namespace { operation, path: path.to_owned(), source: error };
    HOME.with(|home| {
        let home = match home.get() {
            Some(home) => home,
            None => {
                let opened = File::open(OWN).map_err(failed("remember the way back from"))?;
                home.get_or_init(|| opened)
            }
        };
        setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| failed("enter")(errno.into()))?;
        let way_back = Return(home);
        let result = work();
        drop(way_back);
        Ok(result)
    })
}

/// The cookie of the namespace that this thread is in; None when the kernel has none (before Linux 5.14).
fn own_cookie() -> io::Result<Option<u64>> {
    // A socket of any family belongs to the namespace that it was made in. One of AF_UNIX costs the least.
    let socket = UnixDatagram::unbound()?;
    socket_cookie(socket.as_fd())
}

/// SO_NETNS_COOKIE of `asm-generic/socket.h`, which x86-64 and 64-bit ARM use. libc does not have it yet.
const SO_NETNS_COOKIE: libc::c_int = 71;

#[allow(unsafe_code, reason = "nix and libc have no safe call for SO_NETNS_COOKIE")]
fn socket_cookie(socket: BorrowedFd<'_>) -> io::Result<Option<u64>> {
    use std::os::fd::AsRawFd;
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed. The kernel writes at most `length` bytes to
    // `cookie`, which has exactly that many and for which every bit pattern is valid, and it writes `length` itself.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast::<libc::c_void>(),
            &raw mut length,
        )
    };
    if answer == 0 {
        return Ok(Some(cookie));
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(None),
        error => Err(error),
    }
}

/// Of which kind a namespace is, as a flag of clone(2).
#[allow(unsafe_code, reason = "nix and libc have no safe call for NS_GET_NSTYPE")]
fn namespace_type(namespace: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    use std::os::fd::AsRawFd;
    // SAFETY: the descriptor is open for as long as it is borrowed, and NS_GET_NSTYPE takes no argument: the kernel
    // reads and writes no memory of ours. (A file that is no namespace was sorted out by its file system before.)
    let answer = unsafe { libc::ioctl(namespace.as_raw_fd(), libc::NS_GET_NSTYPE) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
#[path = "netns_tests.rs"]
mod tests;
