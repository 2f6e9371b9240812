//! Ports, queues, lcores and memory.
