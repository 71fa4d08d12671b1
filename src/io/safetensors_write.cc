// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <string>
#include <type_traits>

#include "core/atomic_file.h"
#include "core/json.h"
#include "sluice/error.h"
#include "sluice/safetensors.h"

namespace sluice {
namespace {

template <class T>
std::string make_header(const std::string& path, const StateDict<T>& weights,
                        const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t end = 0;
  for (const std::string& name : weights.names()) {
    if (name == "__metadata__") {
      throw FileError(path + ": a tensor cannot be named '__metadata__': the format keeps that name");
    }
    const TensorView<const T> tensor = weights.at(name);
    if (tensor.is_null()) throw Error("save_safetensors: tensor '" + name + "' is null");
    const std::size_t begin = end;
    end += tensor.size() * sizeof(T);
    Json shape = Json::array();
    for (const std::size_t size : tensor.shape().dims()) shape.push_back(size);
    header[name] = {{"dtype", std::is_same_v<T, float> ? "F32" : "F64"},
                    {"shape", std::move(shape)},
                    {"data_offsets", {begin, end}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::type_error&) {
    throw FileError(path + ": a name or metadata text is not UTF-8");
  }
  while (text.size() % 8 != 0) text += ' ';  // so that the data begin at a multiple of 8
  return text;
}

}  // namespace

template <class T>
void save_safetensors(const std::string& path, const StateDict<T>& weights,
                      const std::map<std::string, std::string>& metadata) {
  const std::string header = make_header(path, weights, metadata);
  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const std::string& name : weights.names()) {
    const TensorView<const T> tensor = weights.at(name);
    if (tensor.is_contiguous()) {
      file.write(std::as_bytes(std::span(tensor.data(), tensor.size())));
    } else {
      file.write(std::as_bytes(Tensor<T>(tensor).span()));
    }
  }
  file.commit();
}

template void save_safetensors(const std::string&, const StateDict<float>&,
                               const std::map<std::string, std::string>&);
template void save_safetensors(const std::string&, const StateDict<double>&,
                               const std::map<std::string, std::string>&);

}  // namespace sluice
