/* `ioctl` of the executable, in front of the C library's, for one answer of one request.
 *
 * The AF_XDP driver asks ETHTOOL_GCHANNELS how many *combined* channels an interface has and
 * refuses more queues than that. veth has receive and transmit channels but reports no combined
 * ones, so that two queues on a veth pair are refused although the kernel serves them. Here such an
 * answer is completed: a receive and a transmit channel of the same index make one combined one.
 *
 * A driver is a shared object loaded at run time; it finds this function only when the executable
 * exports it (link argument -Wl,--export-dynamic-symbol=ioctl). */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void complete(struct ethtool_channels *channels)
{
	if (channels->max_combined != 0 || channels->combined_count != 0)
		return;
	if (channels->rx_count == 0 || channels->tx_count == 0)
		return;
	channels->max_combined = smaller(channels->max_rx, channels->max_tx);
	channels->combined_count = smaller(channels->rx_count, channels->tx_count);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);

	int result = (int)syscall(SYS_ioctl, fd, request, argument);
	if (result == 0 && request == SIOCETHTOOL && argument != NULL) {
		const struct ifreq *interface = argument;
		uint32_t *command = (uint32_t *)interface->ifr_data;
		if (command != NULL && *command == ETHTOOL_GCHANNELS)
			complete((struct ethtool_channels *)command);
	}
	return result;
}
