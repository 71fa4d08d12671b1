// SPDX-License-Identifier: Apache-2.0
// What all cases of oneDNN share: memory, descriptions of primitives in both interfaces (2 and 3), and how
// its weights lie. Included by the files of one program for each version.
#pragma once

#include <cstring>
#include <dnnl.hpp>
#include <unordered_map>
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_SYCL
#include <dnnl_sycl.h>
#endif

#include "worker.h"

namespace sluice::peers {

using dnnl::memory;
using Args = std::unordered_map<int, memory>;
using Dims = memory::dims;
inline constexpr auto kF32 = memory::data_type::f32;

inline dnnl::engine& engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

inline std::int64_t dim(std::size_t size) { return static_cast<std::int64_t>(size); }

// Memory that the host can read and write, too.
inline memory allocate(const memory::desc& desc) {
#if DNNL_CPU_RUNTIME == DNNL_RUNTIME_SYCL
  // SYCL's own kind, buffers, would be copied to and fro.
  dnnl_memory_t made = nullptr;
  dnnl::error::wrap_c_api(dnnl_sycl_interop_memory_create(&made, desc.get(), engine().get(),
                                                          dnnl_sycl_interop_usm, DNNL_MEMORY_ALLOCATE),
                          "could not allocate shared memory");
  return memory(made);
#else
  return memory(desc, engine());
#endif
}

inline void write(const memory& to, const float* from) {
  std::memcpy(to.get_data_handle(), from, to.get_desc().get_size());
}
inline void read(const memory& from, float* to) {
  std::memcpy(to, from.get_data_handle(), from.get_desc().get_size());
}

// Scratch memory is the caller's: oneDNN's own belongs to the thread that made the primitive, and here others
// run it.
inline dnnl::primitive_attr own_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

#if DNNL_VERSION_MAJOR >= 3
template <class Primitive, class... Descs>
typename Primitive::primitive_desc describe(dnnl::prop_kind kind, const Descs&... descs) {
  return typename Primitive::primitive_desc(engine(), kind, descs..., own_scratchpad());
}
template <class Primitive, class Forward, class... Descs>
typename Primitive::primitive_desc describe_backward(const Forward& forward, const Descs&... descs) {
  return typename Primitive::primitive_desc(engine(), dnnl::prop_kind::backward, descs..., forward,
                                            own_scratchpad());
}
#else
template <class Primitive, class... Descs>
typename Primitive::primitive_desc describe(dnnl::prop_kind kind, const Descs&... descs) {
  return typename Primitive::primitive_desc(typename Primitive::desc(kind, descs...), own_scratchpad(),
                                            engine());
}
template <class Primitive, class Forward, class... Descs>
typename Primitive::primitive_desc describe_backward(const Forward& forward, const Descs&... descs) {
  return typename Primitive::primitive_desc(typename Primitive::desc(dnnl::prop_kind::backward, descs...),
                                            own_scratchpad(), engine(), forward);
}
#endif
inline constexpr auto kInference = dnnl::prop_kind::forward_inference;
inline constexpr auto kTraining = dnnl::prop_kind::forward_training;

// oneDNN's gates in PyTorch's order: LSTM i f c o is i f g o; GRU u r o is z r n.
inline std::size_t source_gate(const Case& c, std::size_t gate) {
  return c.cell == "gru" && gate < 2 ? 1 - gate : gate;
}

// Calls use(i, j) for element i of a weight as oneDNN has it, [column][gate][output], which is element j as
// PyTorch has it, [gate][output][column].
template <class Use>
void for_each_element(const Case& c, std::size_t columns, const Use& use) {
  std::size_t i = 0;
  for (std::size_t k = 0; k < columns; ++k) {
    for (std::size_t gate = 0; gate < c.gates(); ++gate) {
      for (std::size_t o = 0; o < c.H; ++o) use(i++, (source_gate(c, gate) * c.H + o) * columns + k);
    }
  }
}
inline void lay_out(const Case& c, TensorView<const float> from, std::size_t columns, float* to) {
  for_each_element(c, columns, [&](std::size_t i, std::size_t j) { to[i] = from.data()[j]; });
}

// `from` in the layout `wanted`.
inline memory reordered(dnnl::stream& stream, memory from, const memory::desc& wanted) {
  memory result = allocate(wanted);
  dnnl::reorder(from, result).execute(stream, from, result);
  stream.wait();
  return result;
}
inline memory plain(const Dims& dims, const float* values) {
  memory made = allocate({dims, kF32, memory::format_tag::ldigo});
  write(made, values);
  return made;
}

/// A job of the kinds "train" and "train-step".
std::unique_ptr<Job> make_training(const Case& c);

}  // namespace sluice::peers
