# embed_files(<target> <symbol> <dir> <files>...): embeds text files into <target> by .incbin.
#
# Makes `const struct embedded_file <symbol>[]` and `const size_t <symbol>_count`, with the paths relative to <dir>
# as names (struct embedded_file: base/embed.h). Text alone, never bytecode: what ships is what one reads.
function(embed_files target symbol dir)
  set(asm "    .section .rodata\n")
  set(decl "#include \"base/embed.h\"\n")
  set(rows "")
  set(n 0)
  set(deps)
  foreach(file IN LISTS ARGN)
    set(path ${dir}/${file})
    list(APPEND deps ${path})
    set(id ${symbol}_${n})
    string(APPEND asm "    .global ${id}_begin\n    .hidden ${id}_begin\n${id}_begin:\n    .incbin \"${path}\"\n"
                      "    .global ${id}_end\n    .hidden ${id}_end\n${id}_end:\n    .byte 0\n")
    string(APPEND decl "extern const char ${id}_begin[], ${id}_end[];\n")
    string(APPEND rows "    { \"${file}\", ${id}_begin, ${id}_end },\n")
    math(EXPR n "${n} + 1")
  endforeach()
  string(APPEND asm "    .section .note.GNU-stack,\"\",@progbits\n")
  string(APPEND decl "extern const struct embedded_file ${symbol}[];\nextern const size_t ${symbol}_count;\n"
                     "const struct embedded_file ${symbol}[] = {\n${rows}};\nconst size_t ${symbol}_count = ${n};\n")
  set(stem ${CMAKE_CURRENT_BINARY_DIR}/${symbol})
  file(CONFIGURE OUTPUT ${stem}.S CONTENT "${asm}" @ONLY)
  file(CONFIGURE OUTPUT ${stem}_table.c CONTENT "${decl}" @ONLY)
  set_source_files_properties(${stem}.S PROPERTIES OBJECT_DEPENDS "${deps}" LANGUAGE ASM)
  target_sources(${target} PRIVATE ${stem}.S ${stem}_table.c)
endfunction()
