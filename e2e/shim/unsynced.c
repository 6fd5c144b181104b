/* A disk that forgets: preloaded into a process, it notes beside a folder what of it is durable, so that a test can take away
 * what is not, as a power cut does.
 *
 * UNSYNCED_ROOT is the folder, UNSYNCED_NOTES is where the notes go:
 *   f.ID  what a file held when it was last synced;
 *   d.ID  what a folder held when it was last synced: its path, then "ID NAME" for each file.
 * An ID is the inode and the time of its birth, for inodes are used again.
 * UNSYNCED_IGNORE names a part of paths of which no sync counts: the control of the test. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    const char *root = getenv("UNSYNCED_ROOT");
    const char *ignore = getenv("UNSYNCED_IGNORE");
    return root && strncmp(path, root, strlen(root)) == 0 && !(ignore && *ignore && strstr(path, ignore));
}

static int id_of(int at, const char *name, int flags, char *id, size_t room)
{
    struct statx seen;
    if (statx(at, name, flags | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME | STATX_MODE, &seen) != 0)
        return 0;
    snprintf(id, room, "%llu-%lld-%u", (unsigned long long)seen.stx_ino, (long long)seen.stx_btime.tv_sec,
             seen.stx_btime.tv_nsec);
    return seen.stx_mode;
}

/* Whole or not at all: a process may be killed while it notes. */
static FILE *draft_of(const char *kind, const char *id, char *draft, char *note)
{
    snprintf(note, PATH_MAX, "%s/%s.%s", getenv("UNSYNCED_NOTES"), kind, id);
    snprintf(draft, PATH_MAX, "%s/draft.%d.%s.%s", getenv("UNSYNCED_NOTES"), (int)getpid(), kind, id);
    return fopen(draft, "we");
}

static void note_file(const char *path, const char *id)
{
    char draft[PATH_MAX], note[PATH_MAX], block[65536];
    int from = open(path, O_RDONLY | O_CLOEXEC);
    FILE *to = from < 0 ? NULL : draft_of("f", id, draft, note);
    if (to) {
        ssize_t got;
        while ((got = read(from, block, sizeof block)) > 0)
            fwrite(block, 1, (size_t)got, to);
        fclose(to);
        rename(draft, note);
    }
    if (from >= 0)
        close(from);
}

static void note_folder(const char *path, const char *id)
{
    char draft[PATH_MAX], note[PATH_MAX];
    DIR *folder = opendir(path);
    FILE *to = folder ? draft_of("d", id, draft, note) : NULL;
    if (to) {
        fprintf(to, "%s\n", path);
        struct dirent *entry;
        while ((entry = readdir(folder))) {
            char of[128];
            if (S_ISREG(id_of(dirfd(folder), entry->d_name, 0, of, sizeof of)))
                fprintf(to, "%s %s\n", of, entry->d_name);
        }
        fclose(to);
        rename(draft, note);
    }
    if (folder)
        closedir(folder);
}

static void note(int fd)
{
    char path[PATH_MAX], id[128];
    if (!getenv("UNSYNCED_NOTES") || !path_of(fd, path))
        return;
    int mode = id_of(fd, "", AT_EMPTY_PATH, id, sizeof id);
    if (S_ISREG(mode))
        note_file(path, id);
    else if (S_ISDIR(mode))
        note_folder(path, id);
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int done = real(fd);
    if (done == 0)
        note(fd);
    return done;
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int done = real(fd);
    if (done == 0)
        note(fd);
    return done;
}
