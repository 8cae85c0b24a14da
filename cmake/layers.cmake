# A layer is one static library that sees the face headers of the layers it names in USES and nothing else.
# A header is included as "layer/face.h": a symbolic link farm per layer in the build tree makes that the only way.
#
#   add_layer(<name> USES <layers> TEST_USES <layers> LINKS <libs> TEST_LINKS <libs>
#             FACE <headers> SOURCES <c> TESTS <c>)
#
# TESTS: one program per file, with the layer's own sight plus TEST_USES. Inside a layer, its other headers are
# included by file name alone ("wal_int.h"); a face header always with its layer ("storage/wal.h").
function(add_layer name)
  cmake_parse_arguments(L "" "" "USES;TEST_USES;LINKS;TEST_LINKS;FACE;SOURCES;TESTS" ${ARGN})
  if(L_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "add_layer(${name}): unknown words: ${L_UNPARSED_ARGUMENTS}")
  endif()
  set(me layer_${name}) # never a bare `uv` or `raft`: -luv and -lraft exist
  set(faces ${CMAKE_BINARY_DIR}/faces/${name})
  file(REMOVE_RECURSE ${faces}) # or a header that left FACE stays visible
  file(MAKE_DIRECTORY ${faces}/${name})
  foreach(header IN LISTS L_FACE)
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR}/${header} ${faces}/${name}/${header} SYMBOLIC)
  endforeach()
  add_library(${me} STATIC ${L_SOURCES})
  set_target_properties(${me} PROPERTIES FACES ${faces} LINKER_LANGUAGE C)
  set(sees ${faces})
  foreach(below IN LISTS L_USES)
    if(NOT TARGET layer_${below})
      message(FATAL_ERROR "layer '${name}' uses '${below}', which is not below it")
    endif()
    get_target_property(face layer_${below} FACES)
    list(APPEND sees ${face})
    target_link_libraries(${me} PUBLIC layer_${below})
  endforeach()
  target_include_directories(${me} PRIVATE ${sees}) # PRIVATE: USES is not inherited
  target_link_libraries(${me} PRIVATE ${L_LINKS})
  foreach(test IN LISTS L_TESTS)
    get_filename_component(t ${test} NAME_WE)
    add_executable(${name}_${t} ${test})
    target_include_directories(${name}_${t} PRIVATE ${sees} ${CMAKE_CURRENT_SOURCE_DIR})
    target_link_libraries(${name}_${t} PRIVATE ${me} layer_test ${L_TEST_LINKS} Threads::Threads)
    foreach(also IN LISTS L_TEST_USES)
      get_target_property(face layer_${also} FACES)
      target_include_directories(${name}_${t} PRIVATE ${face})
      target_link_libraries(${name}_${t} PRIVATE layer_${also})
    endforeach()
    add_test(NAME ${name}.${t} COMMAND ${name}_${t})
    set_tests_properties(${name}.${t} PROPERTIES LABELS unit TIMEOUT 120 SKIP_RETURN_CODE 77
                         ENVIRONMENT "FLOTILLA_SOURCE=${CMAKE_SOURCE_DIR}")
  endforeach()
endfunction()
