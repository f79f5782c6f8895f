/*
 * What bindgen reads: the DPDK headers sluice uses, and stand-ins for what bindgen cannot carry
 * over by itself: static inline functions, macros made with RTE_BIT64, and fields that lie in
 * unnamed unions which differ from one DPDK release to the next.
 */
#ifndef SLUICE_DPDK_SHIM_H
#define SLUICE_DPDK_SHIM_H

#include <stdio.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_thash.h>
#include <rte_version.h>

/*
 * The first cache line of a struct rte_mbuf, the only part a packet's way touches. The layout is
 * part of DPDK's ABI; the names around it changed between 22.11 and 24.11. shim.c asserts that
 * every field lies where rte_mbuf has it.
 */
struct shim_mbuf {
	void *buf_addr;
	uint64_t buf_iova;
	uint16_t data_off;
	uint16_t refcnt;
	uint16_t nb_segs;
	uint16_t port;
	uint64_t ol_flags;
	uint32_t packet_type;
	uint32_t pkt_len;
	uint16_t data_len;
	uint16_t vlan_tci;
	uint32_t hash_rss;
	uint32_t hash_rest;
	uint16_t vlan_tci_outer;
	uint16_t buf_len;
	struct rte_mempool *pool;
};

/* What rte_eth_link_get_nowait says, without its bit fields. */
struct shim_link {
	uint32_t speed_mbps;
	bool up;
	bool full_duplex;
};

static const uint32_t SHIM_LCORE_ID_ANY = LCORE_ID_ANY;

static const uint64_t SHIM_RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t SHIM_RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t SHIM_TX_OFFLOAD_MBUF_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

static const uint64_t SHIM_RSS_IPV4 = RTE_ETH_RSS_IPV4;
static const uint64_t SHIM_RSS_FRAG_IPV4 = RTE_ETH_RSS_FRAG_IPV4;
static const uint64_t SHIM_RSS_NONFRAG_IPV4_TCP = RTE_ETH_RSS_NONFRAG_IPV4_TCP;
static const uint64_t SHIM_RSS_NONFRAG_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t SHIM_RSS_NONFRAG_IPV4_OTHER = RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
static const uint64_t SHIM_RSS_IPV6 = RTE_ETH_RSS_IPV6;
static const uint64_t SHIM_RSS_FRAG_IPV6 = RTE_ETH_RSS_FRAG_IPV6;
static const uint64_t SHIM_RSS_NONFRAG_IPV6_TCP = RTE_ETH_RSS_NONFRAG_IPV6_TCP;
static const uint64_t SHIM_RSS_NONFRAG_IPV6_UDP = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint64_t SHIM_RSS_NONFRAG_IPV6_OTHER = RTE_ETH_RSS_NONFRAG_IPV6_OTHER;

static const uint64_t SHIM_MBUF_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t SHIM_MBUF_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t SHIM_MBUF_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t SHIM_MBUF_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;

/* Receives one line of DPDK's log, of `length` bytes without a final zero. */
typedef void (*shim_log_line)(uint32_t level, const char *text, size_t length);

/* A stream whose every flushed write becomes one call of `line`; NULL when memory is short. */
FILE *shim_log_stream(shim_log_line line);

int shim_errno(void);
unsigned int shim_lcore_id(void);
uint64_t shim_rdtsc(void);
uint32_t shim_softrss(uint32_t *tuple, uint32_t words, const uint8_t *key);
int shim_link_get_nowait(uint16_t port_id, struct shim_link *link);

uint16_t shim_rx_burst(uint16_t port_id, uint16_t queue_id, struct rte_mbuf **packets,
		       uint16_t count);
uint16_t shim_tx_burst(uint16_t port_id, uint16_t queue_id, struct rte_mbuf **packets,
		       uint16_t count);
struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool);
void shim_pktmbuf_free(struct rte_mbuf *packet);

#endif
