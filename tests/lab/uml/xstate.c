/* A preload for user-mode-linux on processors with more register state than it knows (Intel AMX, since 2023).
 *
 * UML 6.1 writes its processes' floating point state with PTRACE_SETREGSET in a buffer of at most 2696 bytes. The host
 * takes nothing but the whole state (xstateregs_set in arch/x86/kernel/fpu/regset.c answers EFAULT), 11008 bytes with AMX,
 * and the first process of the node ends with "fatal_sigsegv". So the part that UML knows is laid over the whole state.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char whole[1 << 16];

static long raw(long request, long pid, void *address, void *data)
{
	return syscall(SYS_ptrace, request, pid, address, data);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	long pid = va_arg(arguments, int);
	void *address = va_arg(arguments, void *), *data = va_arg(arguments, void *);
	va_end(arguments);
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		long word = 0; /* glibc returns the word, the system call writes it */
		return raw(request, pid, address, &word) < 0 ? -1 : word;
	}
	if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
		struct iovec *given = data, all = {whole, sizeof whole};
		if (raw(PTRACE_GETREGSET, pid, address, &all) == 0 && given->iov_len < all.iov_len) {
			memcpy(whole, given->iov_base, given->iov_len);
			return raw(request, pid, address, &all);
		}
	}
	return raw(request, pid, address, data);
}
