//! Where a store may lie. `SQLite`'s write-ahead log shares memory between processes, and owners and turns are told by file
//! locks: both hold within one kernel. Across a network two machines see no lock of each other, and both would spend the
//! same refresh token.

use std::{io, os::unix::fs::MetadataExt as _, path::Path};

/// How near a file system is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locality {
    /// On this machine.
    Here,
    /// Where other machines may have it too; its name.
    Remote(String),
    /// Passed through from elsewhere (a virtual machine's host, a program): whether others have it too can't be told.
    Unclear(String),
}

/// File systems that other machines mount too, by the numbers that Linux knows them by (`statfs(2)`).
const REMOTE: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x1983_0326, "BeeGFS"),
];

/// A host's folder in a guest, WSL's `/mnt/c`, or all files in some container sandboxes: mostly one kernel's alone.
const PLAN_9: u32 = 0x0102_1997;
/// A program answers: from a local disk, from a virtual machine's host (virtiofs), or from a network.
const FUSE: u32 = 0x6573_5546;

/// Programs behind FUSE that are known to have their files from a network.
const REMOTE_PROGRAMS: &[&str] = &[
    "sshfs",
    "s3fs",
    "rclone",
    "glusterfs",
    "ceph",
    "ceph-fuse",
    "juicefs",
    "goofys",
    "gcsfuse",
    "davfs",
    "curlftpfs",
    "moosefs",
    "mfs",
    "seaweedfs",
    "beegfs",
    "smbnetfs",
    "gvfsd-fuse",
];

/// Reads a file system's number; for FUSE the type that the mount has, if that is known (`fuse.sshfs`).
pub fn lies(magic: u32, mounted: Option<&str>) -> Locality {
    if let Some((_, name)) = REMOTE.iter().find(|(number, _)| *number == magic) {
        return Locality::Remote((*name).to_owned());
    }
    match magic {
        PLAN_9 => Locality::Unclear("9P".to_owned()),
        FUSE => {
            let kind = mounted.unwrap_or("fuse");
            let program = kind.strip_prefix("fuse.").unwrap_or(kind);
            if REMOTE_PROGRAMS.contains(&program) {
                Locality::Remote(program.to_owned())
            } else {
                Locality::Unclear(kind.to_owned())
            }
        }
        // Among them overlay: its upper layer is a disk of this machine, if a short-lived one.
        _ => Locality::Here,
    }
}

/// Where this file or folder lies. What can't be found out is taken for here: opening it will say more.
pub fn of(path: &Path) -> Locality {
    let Some((path, magic)) = path
        .ancestors()
        .find_map(|path| Some((path, magic_of(path).ok()?)))
    else {
        return Locality::Here;
    };
    let mounted = (magic == FUSE).then(|| mounted_as(path)).flatten();
    lies(magic, mounted.as_deref())
}

fn magic_of(path: &Path) -> io::Result<u32> {
    let magic = rustix::fs::statfs(path)?.f_type;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the numbers of file systems have 32 bits, in a field whose width and sign differ by platform"
    )]
    Ok(magic as u32)
}

fn mounted_as(path: &Path) -> Option<String> {
    let device = std::fs::metadata(path).ok()?.dev();
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    type_of_mount(
        &std::fs::read_to_string("/proc/self/mountinfo").ok()?,
        device,
    )
}

/// The type of the mount of this device, from `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).
fn type_of_mount(mounts: &str, (major, minor): (u32, u32)) -> Option<String> {
    let device = format!("{major}:{minor}");
    let mut mounts = mounts.lines();
    mounts.find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let of_this = before.split(' ').nth(2) == Some(&device);
        of_this.then(|| after.split(' ').next().unwrap_or_default().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_system_has_its_place() {
        let (ext, tmpfs, overlay, btrfs) = (0xEF53, 0x0102_1994, 0x794C_7630, 0x9123_683E);
        for here in [ext, tmpfs, overlay, btrfs] {
            assert_eq!(lies(here, None), Locality::Here, "{here:x}");
        }
        for (number, name) in REMOTE {
            assert_eq!(lies(*number, None), Locality::Remote((*name).to_owned()));
        }
        let unclear = |kind: &str| Locality::Unclear(kind.to_owned());
        for (number, mounted, expected) in [
            (PLAN_9, None, unclear("9P")),
            (FUSE, None, unclear("fuse")),
            (FUSE, Some("virtiofs"), unclear("virtiofs")),
            (FUSE, Some("fuse.gocryptfs"), unclear("fuse.gocryptfs")),
            (
                FUSE,
                Some("fuse.sshfs"),
                Locality::Remote("sshfs".to_owned()),
            ),
            (
                FUSE,
                Some("fuse.rclone"),
                Locality::Remote("rclone".to_owned()),
            ),
            (ext, Some("fuse.sshfs"), Locality::Here),
        ] {
            assert_eq!(lies(number, mounted), expected, "{number:x} {mounted:?}");
        }
    }

    #[test]
    fn a_mounts_type_is_found_by_its_device() {
        let mounts = "27 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
                      60 27 0:45 / /home/a/far rw,nosuid shared:9 - fuse.sshfs a@b:/ rw,user_id=1\n";
        assert_eq!(
            type_of_mount(mounts, (0, 45)).as_deref(),
            Some("fuse.sshfs")
        );
        assert_eq!(type_of_mount(mounts, (254, 0)).as_deref(), Some("ext4"));
        assert_eq!(type_of_mount(mounts, (0, 4)), None);
        assert_eq!(type_of_mount("", (0, 45)), None);
    }

    #[test]
    fn a_place_that_is_not_there_yet_is_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        let here = of(folder.path());
        assert_eq!(of(&folder.path().join("not/yet/store.db")), here);
        assert!(magic_of(folder.path()).is_ok());
    }
}
