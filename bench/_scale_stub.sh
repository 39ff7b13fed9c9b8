#!/bin/sh
# In place of a stage: leaves an empty file, and an empty sidecar where a stage would write one, of each --out-... .
out=
for word in "$@"; do
  case $word in
    --out-*) out=1 ;;
    --*) out= ;;
    *) if [ "$out" ]; then
         : > "$word"
         case $word in *.nii.gz) : > "${word%.nii.gz}.json" ;; *.tsv) : > "${word%.tsv}.json" ;; esac
       fi ;;
  esac
done
