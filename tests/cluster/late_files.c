/* A shared file system on which files of other machines are seen late, for the tests.
 *
 * Loaded by LD_PRELOAD. To the process whose number is SIWCC_TESTS_LATE_FOR (the one that hands out jobs) every file
 * below results/ or data/ that is younger than SIWCC_TESTS_LATE_S seconds does not exist. To the processes of a job,
 * which all run on one machine, only those are hidden that are older than the job: not what one of them has made.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef int (*stat_function)(const char *, struct stat *);
typedef int (*open_function)(const char *, int, ...);

/* Inherited by all processes of a job from its first. */
static const char *SINCE = "SIWCC_TESTS_LATE_SINCE";
static double job_started_s;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

static int hands_out_jobs(void)
{
    const char *process = getenv("SIWCC_TESTS_LATE_FOR");
    return process != NULL && atoi(process) == getpid();
}

__attribute__((constructor)) static void start(void)
{
    char text[32];
    if (hands_out_jobs())
        return;
    snprintf(text, sizeof text, "%.6f", now_s());
    setenv(SINCE, text, 0);
    job_started_s = atof(getenv(SINCE));
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_watched(const char *path)
{
    char whole[PATH_MAX];
    size_t length = 0;
    if (path[0] != '/') {
        if (getcwd(whole, sizeof whole - 1) == NULL)
            return 0;
        length = strlen(whole);
        whole[length++] = '/';
    }
    if (length + strlen(path) >= sizeof whole)
        return 0;
    strcpy(whole + length, path);
    return strstr(whole, "/results/") != NULL || strstr(whole, "/data/") != NULL;
}

static int is_late(const char *path)
{
    const char *seconds = getenv("SIWCC_TESTS_LATE_S");
    struct stat found;
    if (seconds == NULL || path == NULL || !is_watched(path))
        return 0;
    if (((stat_function)next("lstat"))(path, &found) != 0 || S_ISDIR(found.st_mode))
        return 0;
    double made_s = found.st_ctim.tv_sec + found.st_ctim.tv_nsec * 1e-9;
    return now_s() - made_s < atof(seconds) && (hands_out_jobs() || made_s < job_started_s);
}

#define HIDE_LATE(path)                                                                                                \
    if (is_late(path)) {                                                                                               \
        errno = ENOENT;                                                                                                \
        return -1;                                                                                                     \
    }

#define LATE_STAT(name)                                                                                                \
    int name(const char *path, struct stat *result)                                                                    \
    {                                                                                                                  \
        HIDE_LATE(path)                                                                                                \
        return ((stat_function)next(#name))(path, result);                                                             \
    }

#define LATE_OPEN(name)                                                                                                \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        mode_t mode = 0;                                                                                               \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list rest;                                                                                              \
            va_start(rest, flags);                                                                                     \
            mode = va_arg(rest, mode_t);                                                                               \
            va_end(rest);                                                                                              \
        }                                                                                                              \
        HIDE_LATE(path)                                                                                                \
        return ((open_function)next(#name))(path, flags, mode);                                                        \
    }

LATE_STAT(stat)
LATE_STAT(lstat)
LATE_OPEN(open)

/* Python is built with 64-bit offsets: these are what it calls. */
int stat64(const char *path, struct stat64 *result)
{
    HIDE_LATE(path)
    return ((int (*)(const char *, struct stat64 *))next("stat64"))(path, result);
}

int lstat64(const char *path, struct stat64 *result)
{
    HIDE_LATE(path)
    return ((int (*)(const char *, struct stat64 *))next("lstat64"))(path, result);
}

LATE_OPEN(open64)
