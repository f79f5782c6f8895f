/* DPDK's static inline functions as ordinary ones, and proof that shim_mbuf is an rte_mbuf. */
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>

#include "shim.h"

#define SAME_PLACE(ours, theirs)                                                                   \
	_Static_assert(offsetof(struct shim_mbuf, ours) == offsetof(struct rte_mbuf, theirs) &&    \
			       sizeof(((struct shim_mbuf *)0)->ours) ==                            \
				       sizeof(((struct rte_mbuf *)0)->theirs),                     \
		       "rte_mbuf." #theirs " is not where struct shim_mbuf expects it")

SAME_PLACE(buf_addr, buf_addr);
SAME_PLACE(data_off, data_off);
SAME_PLACE(refcnt, refcnt);
SAME_PLACE(nb_segs, nb_segs);
SAME_PLACE(port, port);
SAME_PLACE(ol_flags, ol_flags);
SAME_PLACE(packet_type, packet_type);
SAME_PLACE(pkt_len, pkt_len);
SAME_PLACE(data_len, data_len);
SAME_PLACE(vlan_tci, vlan_tci);
SAME_PLACE(hash_rss, hash.rss);
SAME_PLACE(vlan_tci_outer, vlan_tci_outer);
SAME_PLACE(buf_len, buf_len);
SAME_PLACE(pool, pool);
_Static_assert(sizeof(struct shim_mbuf) == 64, "struct shim_mbuf is one cache line");

static ssize_t write_line(void *cookie, const char *text, size_t length)
{
	shim_log_line line = (shim_log_line)cookie;

	line((uint32_t)rte_log_cur_msg_loglevel(), text, length);
	return (ssize_t)length;
}

FILE *shim_log_stream(shim_log_line line)
{
	cookie_io_functions_t functions = { .write = write_line };

	return fopencookie((void *)line, "w", functions);
}

int shim_errno(void)
{
	return rte_errno;
}

unsigned int shim_lcore_id(void)
{
	return rte_lcore_id();
}

uint64_t shim_rdtsc(void)
{
	return rte_rdtsc();
}

uint32_t shim_softrss(uint32_t *tuple, uint32_t words, const uint8_t *key)
{
	return rte_softrss(tuple, words, key);
}

int shim_link_get_nowait(uint16_t port_id, struct shim_link *link)
{
	struct rte_eth_link found;
	int result;

	memset(&found, 0, sizeof(found));
	result = rte_eth_link_get_nowait(port_id, &found);
	link->speed_mbps = found.link_speed;
	link->up = found.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = found.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return result;
}

uint16_t shim_rx_burst(uint16_t port_id, uint16_t queue_id, struct rte_mbuf **packets,
		       uint16_t count)
{
	return rte_eth_rx_burst(port_id, queue_id, packets, count);
}

uint16_t shim_tx_burst(uint16_t port_id, uint16_t queue_id, struct rte_mbuf **packets,
		       uint16_t count)
{
	return rte_eth_tx_burst(port_id, queue_id, packets, count);
}

struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

void shim_pktmbuf_free(struct rte_mbuf *packet)
{
	rte_pktmbuf_free(packet);
}
