# add_protos(<layer> <file.proto>...): generates C into the build tree as layer <layer>; includes are
# "<layer>/<file>.pb-c.h", and "<layer>/all.h" for a table of all messages:
#     extern const ProtobufCMessageDescriptor *const <layer>_all[]; extern const size_t <layer>_all_count;
function(add_protos name)
  set(faces ${CMAKE_BINARY_DIR}/faces/${name})
  set(out ${faces}/${name})
  file(REMOVE_RECURSE ${faces})
  file(MAKE_DIRECTORY ${out})
  set(sources)
  set(inputs)
  set(includes "")
  set(rows "")
  foreach(proto IN LISTS ARGN)
    get_filename_component(stem ${proto} NAME_WE)
    list(APPEND sources ${out}/${stem}.pb-c.c)
    list(APPEND inputs ${CMAKE_CURRENT_SOURCE_DIR}/${proto})
    string(APPEND includes "#include \"${name}/${stem}.pb-c.h\"\n")
    # Messages begin in the first column and are not nested (proto/README.md; the tests walk the descriptors).
    file(STRINGS ${proto} package_line REGEX "^package ")
    string(REPLACE "package " "" package_line "${package_line}")
    string(REGEX MATCH "[a-z._]+" package "${package_line}")
    string(REPLACE "." "__" package "${package}")
    file(STRINGS ${proto} messages REGEX "^message ")
    foreach(message IN LISTS messages)
      string(REGEX REPLACE "^message ([A-Za-z0-9]+).*" "\\1" message "${message}")
      string(REGEX REPLACE "([a-z0-9])([A-Z])" "\\1_\\2" message "${message}")
      string(TOLOWER ${message} message)
      string(APPEND rows "    &${package}__${message}__descriptor,\n")
    endforeach()
  endforeach()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inputs})
  file(CONFIGURE OUTPUT ${out}/all.h @ONLY CONTENT "#pragma once
#include <protobuf-c/protobuf-c.h>
extern const ProtobufCMessageDescriptor *const ${name}_all[];
extern const size_t ${name}_all_count;
")
  file(CONFIGURE OUTPUT ${out}/all.c @ONLY CONTENT "#include \"${name}/all.h\"
${includes}const ProtobufCMessageDescriptor *const ${name}_all[] = {
${rows}};
const size_t ${name}_all_count = sizeof ${name}_all / sizeof *${name}_all;
")
  string(REPLACE ".pb-c.c" ".pb-c.h" headers "${sources}")
  add_custom_command(OUTPUT ${sources} ${headers}
    COMMAND ${PROTOC_C} --proto_path=${CMAKE_CURRENT_SOURCE_DIR} --c_out=${out} ${inputs}
    DEPENDS ${inputs} VERBATIM COMMENT "protoc-c ${name}")
  add_custom_target(generate_${name} DEPENDS ${sources} ${headers})
  add_library(layer_${name} STATIC ${sources} ${out}/all.c)
  set_target_properties(layer_${name} PROPERTIES FACES ${faces})
  target_include_directories(layer_${name} PRIVATE ${out} ${faces})
  target_compile_options(layer_${name} PRIVATE -Wno-missing-braces -Wno-cast-qual)
  target_link_libraries(layer_${name} PUBLIC PkgConfig::libprotobuf_c)
endfunction()
