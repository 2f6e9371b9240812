/* What bindgen reads: DPDK's headers, the functions of shim.c, and constants that DPDK writes as
 * macros which bindgen cannot evaluate by itself. shim.c includes this file as well, so that the
 * C compiler checks the declarations. */
#ifndef CAPSULE_FFI_BINDINGS_H
#define CAPSULE_FFI_BINDINGS_H

#include <numa.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

static const unsigned int LCORE_ANY = LCORE_ID_ANY;

static const uint64_t RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t RSS_UDP = RTE_ETH_RSS_UDP;
static const uint64_t RSS_IPV4 = RTE_ETH_RSS_IPV4;
static const uint64_t RSS_IPV6 = RTE_ETH_RSS_IPV6;
static const uint64_t RSS_IPV4_UDP = RTE_ETH_RSS_NONFRAG_IPV4_UDP;
static const uint64_t RSS_IPV6_UDP = RTE_ETH_RSS_NONFRAG_IPV6_UDP;
static const uint64_t RSS_TCP = RTE_ETH_RSS_TCP;
static const uint64_t RSS_SCTP = RTE_ETH_RSS_SCTP;

static const uint64_t RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t RX_OFFLOAD_RSS_HASH = RTE_ETH_RX_OFFLOAD_RSS_HASH;
static const uint64_t TX_OFFLOAD_IPV4_CKSUM = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
static const uint64_t TX_OFFLOAD_UDP_CKSUM = RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
static const uint64_t TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t TX_OFFLOAD_MBUF_FAST_FREE = RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;

/* Inline functions and thread-local variables, given a symbol by shim.c. */
int _rte_errno(void);
unsigned int _rte_lcore_id(void);
uint16_t _rte_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
uint16_t _rte_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count);
struct rte_mbuf *_rte_pktmbuf_alloc(struct rte_mempool *pool);
int _rte_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count);
void _rte_pktmbuf_free(struct rte_mbuf *mbuf);
void _rte_mempool_put_bulk(struct rte_mempool *pool, void *const *mbufs, unsigned int count);

#endif
