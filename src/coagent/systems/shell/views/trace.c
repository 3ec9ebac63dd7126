/* Hears of a command's look-ups as `Trace` of trace.py does, only faster: see there for what it is about.

   Sources: seccomp_unotify(2), process_vm_readv(2), path_resolution(7). */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINKS_MAX 40
#define LENGTH_MAX 4096
#define LOOKED_UP 1
#define OPENED 2
#define EMPTIED 4

/* One system call: lookups.py fills the table, so that there is one list of them. */
struct call {
    int kind;  /* 0 unknown, 1 looks up, 2 opens, 3 opens as openat2, 4 looks up and may make a link, 5 may
                  also move a folder, 6 so may renameat2, 7 writes to the memory of others */
    int pairs; /* how many of the following are used */
    int folder[2], path[2];
};

struct set {
    char **paths;
    unsigned char *bits;
    size_t size, count;
};

static unsigned char *slot(struct set *set, const char *path)
{
    if (set->count * 2 >= set->size) {
        struct set old = *set;
        set->size = old.size ? old.size * 2 : 1024;
        set->paths = calloc(set->size, sizeof *set->paths);
        set->bits = calloc(set->size, 1);
        set->count = 0;
        if (!set->paths || !set->bits)
            abort();
        for (size_t i = 0; i < old.size; i++)
            if (old.paths[i]) {
                *slot(set, old.paths[i]) = old.bits[i];
                free(old.paths[i]);
            }
        free(old.paths);
        free(old.bits);
    }
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (const unsigned char *at = (const unsigned char *)path; *at; at++)
        hash = (hash ^ *at) * 1099511628211u;
    size_t i = hash & (set->size - 1);
    while (set->paths[i] && strcmp(set->paths[i], path))
        i = (i + 1) & (set->size - 1);
    if (!set->paths[i]) {
        if (!(set->paths[i] = strdup(path)))
            abort();
        set->count++;
    }
    return &set->bits[i];
}

static int inside(const char *path, const char *root, size_t length)
{
    return !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

struct trace {
    int processes;
    const char *root, *apart, *temporary;
    const struct call *calls;
    int count;
    void (*begins)(const char *source, const char *target); /* called before a folder is moved */
    int remembers;
    struct set known, plain, seen;
};

static void saw(struct trace *trace, const char *real, int bits)
{
    if (inside(real, trace->root, strlen(trace->root)))
        *slot(&trace->seen, real) |= bits;
    else if (!inside(real, trace->apart, strlen(trace->apart)))
        for (const char *place = trace->temporary; *place; place += strlen(place) + 1)
            if (inside(real, place, strlen(place)) && (real[strlen(place)] || bits != LOOKED_UP))
                *slot(&trace->seen, place) |= LOOKED_UP;
}

/* Follow a path from the top (what is not there counts as a name), noting links on the way. What is known to
   be none is in `plain`, as long as that can be remembered. */
static int resolve(struct trace *trace, const char *given, char *real)
{
    const char *root = trace->root;
    struct set *plain = trace->remembers ? &trace->plain : NULL;
    char rest[3 * LENGTH_MAX], target[LENGTH_MAX], joined[3 * LENGTH_MAX];
    size_t root_length = strlen(root), length = 0;
    int links = 0;
    snprintf(rest, sizeof rest, "%s", given);
    if (inside(rest, root, root_length)) { /* the root is a real path, and nothing above it can change */
        memmove(rest, rest + root_length, strlen(rest + root_length) + 1);
        memcpy(real, root, root_length);
        length = root_length;
    }
    real[length] = 0;
    for (char *at = rest; *at;) {
        char *end;
        at += strspn(at, "/");
        if (!*at)
            break;
        end = at + strcspn(at, "/");
        size_t part = end - at;
        if (part == 1 && at[0] == '.') {
            at = end;
            continue;
        }
        if (part == 2 && at[0] == '.' && at[1] == '.') {
            while (length && real[--length] != '/')
                ;
            real[length] = 0;
            at = end;
            continue;
        }
        if (length + part + 2 > LENGTH_MAX)
            return -1;
        size_t before = length;
        real[length++] = '/';
        memcpy(real + length, at, part);
        length += part;
        real[length] = 0;
        at = end;
        unsigned char *known = plain && *at ? slot(plain, real) : NULL; /* only what is above others */
        if (known && *known)
            continue;
        ssize_t count = readlink(real, target, sizeof target - 1);
        if (count < 0) {
            if (known)
                *known = 1;
            continue;
        }
        if (++links > LINKS_MAX)
            return 0;
        target[count] = 0;
        saw(trace, real, LOOKED_UP);
        length = target[0] == '/' ? 0 : before;
        real[length] = 0;
        if (snprintf(joined, sizeof joined, "%s%s", target, at) >= (int)sizeof joined)
            return -1;
        memcpy(rest, joined, strlen(joined) + 1);
        at = rest;
    }
    if (!length)
        strcpy(real, "/");
    return 0;
}

static int text(pid_t pid, uint64_t address, char *found)
{
    size_t length = 0;
    found[0] = 0;
    while (address && length < LENGTH_MAX - 256) {
        struct iovec here = {found + length, 256 - (address + length) % 256}; /* never over a page's edge */
        struct iovec there = {(void *)(uintptr_t)(address + length), here.iov_len};
        ssize_t count = process_vm_readv(pid, &here, 1, &there, 1, 0);
        if (count <= 0)
            return -1;
        if (memchr(found + length, 0, count))
            return 0;
        length += count;
    }
    found[length] = 0;
    return 0;
}

static int opened(pid_t pid, int kind, uint64_t flags)
{
    if (kind == 3) {
        struct iovec here = {&flags, 8}, there = {(void *)(uintptr_t)flags, 8};
        if (process_vm_readv(pid, &here, 1, &there, 1, 0) != 8)
            return -1;
    }
    if ((flags & 3) == O_WRONLY && flags & O_TRUNC && !(flags & O_EXCL))
        return EMPTIED;
    return flags & O_PATH ? LOOKED_UP : OPENED;
}

static int is_folder(const char *path)
{
    struct stat status;
    return !lstat(path, &status) && S_ISDIR(status.st_mode);
}

/* Tell whether a path leads elsewhere by now: a link on its way is another one. */
static int leads_elsewhere(struct trace *trace, const char *whole, const char *real)
{
    char now[LENGTH_MAX + 8];
    return resolve(trace, whole, now) || strcmp(now, real);
}

/* Tell whether a path is that of the memory of a process, which may be written to there. */
static int is_memory(const char *real)
{
    size_t length = strlen(real);
    return !strncmp(real, "/proc/", 6) && !strcmp(real + length - 4, "/mem");
}

static int note(struct trace *trace, pid_t pid, const struct seccomp_data *data)
{
    if (data->nr < 0 || data->nr >= trace->count || !trace->calls[data->nr].kind)
        return -1; /* another architecture's, or it begins to share memory */
    if (trace->calls[data->nr].kind == 7)
        return -1;
    const struct call *call = &trace->calls[data->nr];
    int bits = LOOKED_UP;
    if (call->kind == 2 || call->kind == 3)
        bits = opened(pid, call->kind, data->args[call->path[0] + 1]);
    if (bits < 0)
        return -1;
    if (call->kind >= 4)
        trace->remembers = 0;
    char ends[2][LENGTH_MAX + 8] = {"", ""}, paths[2][LENGTH_MAX], wholes[2][2 * LENGTH_MAX];
    int folder[2] = {0, 0};
    for (int i = 0; i < call->pairs; i++) {
        char *path = paths[i], *whole = wholes[i], real[LENGTH_MAX + 8], name[64];
        if (text(pid, data->args[call->path[i]], path))
            return -1;
        if (!path[0])
            continue;
        whole[0] = 0;
        if (path[0] != '/') {
            int descriptor = call->folder[i] < 0 ? AT_FDCWD : (int)data->args[call->folder[i]];
            if (descriptor == AT_FDCWD)
                snprintf(name, sizeof name, "%d/cwd", pid);
            else
                snprintf(name, sizeof name, "%d/fd/%d", pid, descriptor);
            ssize_t count = readlinkat(trace->processes, name, whole, LENGTH_MAX - 1);
            if (count < 0)
                return -1;
            whole[count] = '/';
            whole[count + 1] = 0;
        }
        strcat(whole, path);
        unsigned char *known = slot(&trace->known, whole);
        if (trace->remembers && *known & bits)
            continue;
        *known |= bits;
        if (resolve(trace, whole, real))
            return -1;
        saw(trace, real, bits);
        if (is_memory(real))
            return -1;
        strcpy(ends[i], real);
        folder[i] = call->kind >= 5 && is_folder(whole);
    }
    if (folder[0] && *ends[1])
        trace->begins(ends[0], ends[1]);
    if (folder[1] && *ends[0] && call->kind == 6 && data->args[4] & RENAME_EXCHANGE)
        trace->begins(ends[1], ends[0]);
    /* The kernel reads the path once more: somebody may be writing to it. */
    for (int i = 0; i < call->pairs; i++) {
        char again[LENGTH_MAX];
        if (text(pid, data->args[call->path[i]], again) || strcmp(paths[i], again))
            return -1;
    }
    if (!trace->remembers)
        for (int i = 0; i < call->pairs; i++)
            if (*ends[i] && leads_elsewhere(trace, wholes[i], ends[i]))
                return -1;
    return 0;
}

static int written(const struct set *seen, int out)
{
    int copy = dup(out);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
    if (!file)
        return -1;
    for (size_t i = 0; i < seen->size; i++)
        if (seen->paths[i]) {
            fputc('0' + seen->bits[i], file);
            fputs(seen->paths[i], file);
            fputc(0, file);
        }
    return fclose(file);
}

/* Hear of the calls until nobody is left who could make one. What is looked up in the folders of `temporary`
   (each ended by a zero byte), but not in `apart`, is noted as that folder. Writes to `out` a digit and a
   path, ended by a zero byte, for all that was seen; returns 1 where that is complete. */
int follow(int listener, int processes, const char *root, const char *apart, const char *temporary,
           const struct call *calls, int count, void (*begins)(const char *, const char *), int out)
{
    struct trace trace = {processes, root, apart, temporary, calls, count, begins, 1, {0}, {0}, {0}};
    struct pollfd polled = {listener, POLLIN, 0};
    int complete = 1;
    for (;;) {
        if (poll(&polled, 1, -1) < 0) {
            if (errno == EINTR)
                continue;
            return 0;
        }
        if (!(polled.revents & POLLIN))
            break;
        struct seccomp_notif call = {0};
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call))
            continue; /* it was killed before we heard of it */
        if (note(&trace, call.pid, &call.data))
            complete = 0;
        struct seccomp_notif_resp answer = {call.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    return written(&trace.seen, out) ? 0 : complete;
}
