"""Bad inputs, each made from a good small one, with the message that a user must see.

Kinds: NIfTI headers and image data (`headers`); JSON sidecars and field maps (`sidecars`); labels, file names, links and
pipes (`names`); participants.tsv, the dataset's description and confounds (`tables`); fMRIPrep derivatives (`derivatives`);
circuits, search masks, limits in YAML, filter files and option values (`choices`); transforms, surfaces, fiducials, tape
lengths and markers (`places`); allocations of a trial (`allocations`); markup in metadata that a page shows (`pages`).
"""
