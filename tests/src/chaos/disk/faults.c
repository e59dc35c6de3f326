/* Lets one call by which a process writes or syncs a file fail, as a broken or full disk would.
 *
 * Loaded into the process before the system's library, whose calls it stands in front of: nothing
 * below them is disturbed. It reads
 *   FAULTS_UNDER  the folder whose files count;
 *   FAULTS_CALL   "write" or "sync";
 *   FAULTS_COUNT  which of them fails, from 1; none without it;
 *   FAULTS_ERROR  the number of the error. With ENOSPC half of what was to be written is, and every
 *                 later write fails as well: a disk that is full stays full;
 *   FAULTS_FILE   where it tells of the call that failed: its name, and the file's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

static const char *setting(const char *name) {
    const char *value = getenv(name);
    return value == NULL ? "" : value;
}

/* Whether the file lies in the folder; its path is put into `path`. */
static int counts(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    const char *under = setting("FAULTS_UNDER");
    return *under != 0 && strncmp(path, under, strlen(under)) == 0;
}

static void tell(const char *name, const char *path) {
    char line[4200];
    int length = snprintf(line, sizeof line, "%s %s\n", name, path);
    const char *told = setting("FAULTS_FILE");
    int file = syscall(SYS_openat, AT_FDCWD, told, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file < 0) abort();
    if (syscall(SYS_write, file, line, length) != length) abort();
    syscall(SYS_close, file);
}

/* 0 when the call may go on, 1 when it is the one that fails, 2 when an earlier one was. */
static int fails(const char *kind, const char *name, int fd) {
    char path[4096];
    int before = errno;
    if (strcmp(setting("FAULTS_CALL"), kind) != 0 || !counts(fd, path, sizeof path)) {
        errno = before;
        return 0;
    }
    long number = atomic_fetch_add(&calls, 1) + 1, wanted = atol(setting("FAULTS_COUNT"));
    errno = before;
    if (wanted == 0 || number < wanted) return 0;
    if (number == wanted) {
        tell(name, path);
        errno = atoi(setting("FAULTS_ERROR"));
        return 1;
    }
    errno = before;
    if (atoi(setting("FAULTS_ERROR")) != ENOSPC) return 0;
    errno = ENOSPC;
    return 2;
}

/* How much of a write that fails is done all the same. */
static size_t part(int failing, size_t count) {
    return failing == 1 && errno == ENOSPC ? count / 2 : 0;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    int failing = fails("write", "write", fd);
    if (failing == 0) return syscall(SYS_write, fd, bytes, count);
    size_t half = part(failing, count);
    return half == 0 ? -1 : syscall(SYS_write, fd, bytes, half);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    int failing = fails("write", "pwrite", fd);
    if (failing == 0) return syscall(SYS_pwrite64, fd, bytes, count, at);
    size_t half = part(failing, count);
    return half == 0 ? -1 : syscall(SYS_pwrite64, fd, bytes, half, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return pwrite64(fd, bytes, count, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return fails("write", "writev", fd) == 0 ? syscall(SYS_writev, fd, parts, count) : -1;
}

int fsync(int fd) {
    return fails("sync", "fsync", fd) == 0 ? syscall(SYS_fsync, fd) : -1;
}

int fdatasync(int fd) {
    return fails("sync", "fdatasync", fd) == 0 ? syscall(SYS_fdatasync, fd) : -1;
}
