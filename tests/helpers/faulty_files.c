/* The file system with one fault: LD_PRELOAD it, then arm it.
 *
 * It stands before every call of libc by which Python and TensorFlow's C++ reach files, counts
 * those on paths below some folders, and lets one of them fail. A FILE of stdio is made of these
 * calls (fopencookie), since its own writes stay inside libc, where nothing can stand before them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SHORT_READ = -1 };

static char folders[8 * PATH_MAX]; /* one after the other, each closed by a colon */
static int log_file = -1;
static int fails_at, fails_with, lasts; /* the number of a call, from 1; an errno or SHORT_READ */
static int calls;
static char cut_file[PATH_MAX]; /* where a short read was: its end, from then on */

/* `folders` as above; every call is told in the file `log`, "mkdir /path", in the
 * order in which they end; with " fails" after those that do. With `lasting`, all
 * later calls that take room fail too, as on a full disk. */
void arm(const char *in_folders, const char *log, int nth, int error, int lasting) {
  strncpy(folders, in_folders, sizeof folders - 1);
  log_file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  fails_at = nth, fails_with = error, lasts = lasting;
}

static int is_watched(const char *path) {
  size_t length;
  for (const char *folder = folders; *folder; folder += length + 1) {
    length = strchr(folder, ':') - folder;
    if (!strncmp(path, folder, length) && (path[length] == '/' || !path[length])) return 1;
  }
  return 0;
}

static const char *path_of(int fd) {
  static __thread char path[PATH_MAX];
  char link[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = 0;
  return path;
}

/* Whether this call fails; `errno` is then set, or a read is to be cut short. */
static int fails(const char *call, const char *path, int takes_room) {
  if (log_file < 0 || !path || !is_watched(path)) return 0;
  int number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  int goes_well = number != fails_at && !(lasts && takes_room && fails_at && number > fails_at);
  char line[PATH_MAX + 64];
  const char *end = goes_well ? "" : " fails";
  int length = snprintf(line, sizeof line, "%s %s%s\n", call, path, end);
  syscall(SYS_write, log_file, line, length);
  if (goes_well) return 0;
  if (fails_with == SHORT_READ) strcpy(cut_file, path);
  errno = fails_with;
  return 1;
}

#define LIBC(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opens(const char *path, int flags) {
  int makes = flags & O_CREAT;
  return fails(makes ? "create" : "open", path, makes);
}

#define DEFINE_OPEN(name)                                              \
  int name(const char *path, int flags, ...) {                         \
    va_list rest;                                                      \
    va_start(rest, flags);                                             \
    mode_t mode = va_arg(rest, mode_t);                                \
    va_end(rest);                                                      \
    return opens(path, flags) ? -1 : LIBC(name)(path, flags, mode);    \
  }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

int openat(int folder, const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return opens(path, flags) ? -1 : LIBC(openat)(folder, path, flags, mode);
}

/* A read that is cut short gives half, and then the file is at its end. */
#define DEFINE_READ(name, parameters, arguments)                       \
  ssize_t name parameters {                                            \
    if (log_file < 0) return LIBC(name) arguments;                     \
    const char *path = path_of(fd);                                    \
    if (*cut_file && !strcmp(path, cut_file)) return 0;                \
    if (!fails("read", path, 0)) return LIBC(name) arguments;          \
    if (fails_with != SHORT_READ) return -1;                           \
    size /= 2;                                                         \
    return LIBC(name) arguments;                                       \
  }
DEFINE_READ(read, (int fd, void *buffer, size_t size), (fd, buffer, size))
DEFINE_READ(pread, (int fd, void *buffer, size_t size, off_t at), (fd, buffer, size, at))
DEFINE_READ(pread64, (int fd, void *buffer, size_t size, off64_t at), (fd, buffer, size, at))

#define DEFINE_ON_FD(result, name, call, takes_room, parameters, arguments)                \
  result name parameters {                                                                 \
    if (log_file >= 0 && fails(call, path_of(fd), takes_room)) return -1;                  \
    return LIBC(name) arguments;                                                           \
  }
DEFINE_ON_FD(ssize_t, write, "write", 1, (int fd, const void *b, size_t size), (fd, b, size))
DEFINE_ON_FD(ssize_t, pwrite64, "write", 1, (int fd, const void *b, size_t size, off64_t at),
             (fd, b, size, at))
DEFINE_ON_FD(ssize_t, sendfile, "write", 1, (int fd, int in, off_t *at, size_t size),
             (fd, in, at, size))
DEFINE_ON_FD(int, fsync, "fsync", 1, (int fd), (fd))
DEFINE_ON_FD(int, fdatasync, "fsync", 1, (int fd), (fd))
DEFINE_ON_FD(int, ftruncate, "truncate", 0, (int fd, off_t size), (fd, size))
DEFINE_ON_FD(int, ftruncate64, "truncate", 0, (int fd, off64_t size), (fd, size))

#define DEFINE_ON_PATH(result, failed, name, call, takes_room, parameters, arguments)      \
  result name parameters {                                                                 \
    return fails(call, path, takes_room) ? failed : LIBC(name) arguments;                  \
  }
DEFINE_ON_PATH(int, -1, mkdir, "mkdir", 1, (const char *path, mode_t mode), (path, mode))
DEFINE_ON_PATH(int, -1, rmdir, "rmdir", 0, (const char *path), (path))
DEFINE_ON_PATH(int, -1, unlink, "unlink", 0, (const char *path), (path))
DEFINE_ON_PATH(int, -1, unlinkat, "unlink", 0, (int at, const char *path, int f), (at, path, f))
DEFINE_ON_PATH(int, -1, remove, "unlink", 0, (const char *path), (path))
DEFINE_ON_PATH(int, -1, rename, "rename", 1, (const char *path, const char *to), (path, to))
DEFINE_ON_PATH(int, -1, renameat, "rename", 1, (int a, const char *path, int b, const char *to),
               (a, path, b, to))
DEFINE_ON_PATH(DIR *, NULL, opendir, "list", 0, (const char *path), (path))

static ssize_t stream_read(void *fd, char *to, size_t size) { return read((long)fd, to, size); }
static ssize_t stream_write(void *fd, const char *from, size_t size) {
  /* Of a cookie's write 0 is the failure. */
  ssize_t written = write((long)fd, from, size);
  return written < 0 ? 0 : written;
}
static int stream_seek(void *fd, off64_t *at, int whence) {
  off64_t now = lseek64((long)fd, *at, whence);
  return now < 0 ? -1 : (*at = now, 0);
}
static int stream_close(void *fd) { return close((long)fd); }

#define DEFINE_FOPEN(name)                                                                 \
  FILE *name(const char *path, const char *mode) {                                         \
    if (log_file < 0 || !is_watched(path)) return LIBC(name)(path, mode);                  \
    int how = strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;             \
    how |= *mode == 'r' ? 0 : O_CREAT | (*mode == 'w' ? O_TRUNC : O_APPEND);               \
    int fd = open(path, how | O_CLOEXEC, 0666);                                            \
    if (fd < 0) return NULL;                                                               \
    cookie_io_functions_t calls = {stream_read, stream_write, stream_seek, stream_close};  \
    return fopencookie((void *)(long)fd, mode, calls);                                     \
  }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)
