/* DPDK's inline functions as symbols: one small function each, one call per burst. */
#include "bindings.h"

#include <stddef.h>

/* Rust reads and writes these fields directly. `src/mbuf.rs` asserts the same numbers on bindgen's
 * struct, so that neither side can move alone. */
#define AT(field, offset) \
	_Static_assert(offsetof(struct rte_mbuf, field) == (offset), "rte_mbuf." #field " moved")
AT(buf_addr, 0);
AT(data_off, 16);
AT(refcnt, 18);
AT(nb_segs, 20);
AT(port, 22);
AT(ol_flags, 24);
AT(packet_type, 32);
AT(pkt_len, 36);
AT(data_len, 40);
AT(hash.rss, 44);
AT(buf_len, 54);
AT(pool, 56);
AT(next, 64);
AT(tx_offload, 72);
_Static_assert(RTE_MBUF_L2_LEN_BITS == 7 && RTE_MBUF_L3_LEN_BITS == 9, "rte_mbuf.tx_offload changed");
_Static_assert(sizeof(struct rte_mbuf) == 128, "rte_mbuf changed its size");

int _rte_errno(void)
{
	return rte_errno;
}

unsigned int _rte_lcore_id(void)
{
	return rte_lcore_id();
}

uint16_t _rte_eth_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, mbufs, count);
}

uint16_t _rte_eth_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, mbufs, count);
}

struct rte_mbuf *_rte_pktmbuf_alloc(struct rte_mempool *pool)
{
	return rte_pktmbuf_alloc(pool);
}

int _rte_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **mbufs, unsigned int count)
{
	return rte_pktmbuf_alloc_bulk(pool, mbufs, count);
}

void _rte_pktmbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

/* capsule frees what it could not send with this, naming the pool of the first mbuf for all of
 * them. Mbufs of two ports may come from two pools: each goes back to its own. */
void _rte_mempool_put_bulk(struct rte_mempool *pool, void *const *mbufs, unsigned int count)
{
	(void)pool;
	rte_pktmbuf_free_bulk((struct rte_mbuf **)(uintptr_t)mbufs, count);
}
