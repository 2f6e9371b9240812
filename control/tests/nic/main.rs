//! RSS of a NIC that really has it: virtio-net with `rss=on` in a guest of QEMU, on vfio-pci behind an IOMMU, polled
//! by the shipped data plane. Needs root, QEMU, and the files of a Debian kernel (`make test-nic`).

mod appliance;
mod frames;
mod guest;
mod kernel;
mod network;
mod rss;
