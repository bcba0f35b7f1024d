/* Counts the instructions of one thread in user mode between two SIGUSR1 that it raises, by single
 * steps: where there is no counter of the processor (most virtual machines), and where valgrind
 * stops at io_uring. Other threads run as they do.
 *
 *   steps FILE PROGRAM...    writes the count into FILE when the program has ended
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words)
{
    unsigned long long steps = 0;
    int status, code = 1, is_over = 0;
    pid_t first, stepped = 0;
    FILE *file;
    if (count < 3)
        return 2;
    first = fork();
    if (first == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execvp(words[2], words + 2);
        _exit(127);
    }
    if (first < 0 || waitpid(first, &status, 0) != first)
        return 1;
    ptrace(PTRACE_SETOPTIONS, first, NULL, (void *)(PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL));
    ptrace(PTRACE_CONT, first, NULL, NULL);
    for (;;) {
        int sent = 0;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0) {
            if (errno == EINTR)
                continue;
            break;
        }
        if (!WIFSTOPPED(status)) {
            if (thread == first)
                code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            continue;
        }
        if (WSTOPSIG(status) == SIGUSR1) {
            is_over = is_over || stepped == thread;
            stepped = is_over ? 0 : thread;
        } else if (WSTOPSIG(status) == SIGTRAP) {
            steps += thread == stepped;
        } else if (WSTOPSIG(status) != SIGSTOP) { /* which a new thread begins with */
            sent = WSTOPSIG(status);
        }
        ptrace(thread == stepped ? PTRACE_SINGLESTEP : PTRACE_CONT, thread, NULL,
               (void *)(long)sent);
    }
    file = is_over ? fopen(words[1], "w") : NULL;
    if (!file || fprintf(file, "%llu\n", steps) < 0 || fclose(file) != 0)
        return 1;
    return code;
}
