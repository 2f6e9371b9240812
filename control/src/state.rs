//! What must survive a restart of control: the secret and the number of the last epoch.

use anyhow::{Context, Result, bail};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The state directory, opened.
#[derive(Debug)]
pub struct State {
    directory: PathBuf,
    secret: [u8; 16],
    epoch: u64,
}

impl State {
    /// Opens the state directory; makes it when it is not there. The secret is that of `shared`; without such a file,
    /// one of its own, made when it is not there.
    ///
    /// # Errors
    /// The path and what is wrong with it.
    pub fn open(directory: &Path, shared: Option<&Path>) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("state_directory {} cannot be made", directory.display()))?;
        let secret = match shared {
            Some(path) => read_shared_secret(path)?,
            None => read_or_make_secret(&directory.join("secret"))?,
        };
        let epoch = read_epoch(&directory.join("epoch"))?;
        Ok(Self { directory: directory.to_owned(), secret, epoch })
    }

    /// The key of branch checks and of the choice of members.
    pub fn secret(&self) -> [u8; 16] {
        self.secret
    }

    /// A number for the next epoch, above all numbers given before and above `seen`, stored before
    /// it is used.
    ///
    /// # Errors
    /// The file that could not be written.
    pub fn next_epoch(&mut self, seen: u64) -> Result<u64> {
        let next = self.epoch.max(seen) + 1;
        replace(&self.directory.join("epoch"), next.to_string().as_bytes())?;
        self.epoch = next;
        Ok(next)
    }
}

/// The secret of the appliance whose state is in `directory`, or of all that have the file `shared`.
///
/// # Errors
/// The path and what is wrong with it.
pub fn read_secret(directory: &Path, shared: Option<&Path>) -> Result<[u8; 16]> {
    if let Some(path) = shared {
        return read_shared_secret(path);
    }
    let path = directory.join("secret");
    let bytes =
        std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    secret_of(&bytes, &path)
}

/// What tells the appliance with this state from all others, made when it is not there.
///
/// # Errors
/// As [`read_secret`].
pub fn instance(directory: &Path) -> Result<String> {
    let bytes = read_or_make_secret(&directory.join("instance"))?;
    Ok(format!("{:08x}", u128::from_be_bytes(bytes) >> 96))
}

fn read_shared_secret(path: &Path) -> Result<[u8; 16]> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("appliance.secret_file {shown} cannot be read"))?;
    let digits = text.trim();
    let is_whole = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let secret = u128::from_str_radix(digits, 16).ok().filter(|_| is_whole);
    secret.map(u128::to_be_bytes).with_context(|| {
        format!(
            "appliance.secret_file {shown} does not hold 32 hexadecimal digits: make it with \
             `openssl rand -hex 16` and give all appliances that share it the same"
        )
    })
}

fn secret_of(bytes: &[u8], path: &Path) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|_| {
        let (path, length) = (path.display(), bytes.len());
        anyhow::anyhow!("{path} holds {length} bytes instead of 16: delete it to make a new secret")
    })
}

fn read_or_make_secret(path: &Path) -> Result<[u8; 16]> {
    match std::fs::read(path) {
        Ok(bytes) => secret_of(&bytes, path),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let mut secret = [0; 16];
            let mut random = File::open("/dev/urandom").context("/dev/urandom")?;
            random.read_exact(&mut secret).context("/dev/urandom")?;
            replace(path, &secret)?;
            Ok(secret)
        }
        Err(e) => Err(e).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn read_epoch(path: &Path) -> Result<u64> {
    match std::fs::read_to_string(path) {
        Ok(text) => match text.trim().parse() {
            Ok(epoch) => Ok(epoch),
            Err(_) => bail!("{} holds no number: delete it", path.display()),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Replaces a file in one step, so that a crash leaves the old content or the new one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::{State, read_secret};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secret_stays_and_epochs_rise() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let mut first = State::open(&path, None).unwrap();
        assert_eq!(first.next_epoch(0).unwrap(), 1);
        assert_eq!(first.next_epoch(9).unwrap(), 10);
        let mut second = State::open(&path, None).unwrap();
        assert_eq!(second.secret(), first.secret());
        assert_ne!(second.secret(), [0; 16]);
        assert_eq!(second.next_epoch(0).unwrap(), 11);
        let mode = std::fs::metadata(path.join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn appliances_with_one_file_have_one_secret() {
        let directory = tempfile::tempdir().unwrap();
        let shared = directory.path().join("cluster.secret");
        let open = |node: &str| State::open(&directory.path().join(node), Some(&shared));
        let refused = |why: &str| {
            let error = format!("{:#}", open("a").unwrap_err());
            assert!(error.contains(why) && error.contains("cluster.secret"), "{error}");
        };
        refused("cannot be read");
        for text in
            ["", "0011", "+0112233445566778899aabbccddeeff", "g0112233445566778899aabbccddeeff"]
        {
            std::fs::write(&shared, text).unwrap();
            refused("openssl rand -hex 16");
        }
        std::fs::write(&shared, "00112233445566778899aabbccddeeff\n").unwrap();
        let (a, b) = (open("a").unwrap(), open("b").unwrap());
        assert_eq!(a.secret(), b.secret());
        assert_eq!(a.secret()[..3], [0, 0x11, 0x22]);
        assert_eq!(read_secret(directory.path(), Some(&shared)).unwrap(), a.secret());
        assert!(!directory.path().join("a/secret").exists());
    }

    #[test]
    fn damaged_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), b"short").unwrap();
        let error = State::open(directory.path(), None).unwrap_err().to_string();
        assert!(error.contains("secret") && error.contains("delete it"), "{error}");
    }
}
